"""The other end of the wire: `EventSource`, a stream of events that comes back by itself."""

from __future__ import annotations

from ssehub.client.event_source import EventSource
from ssehub.client.messages import Attempt, Gap, Headers, ReadyState, Redirect, Response
from ssehub.client.options import Reconnect, Redirects

__all__ = [
    "Attempt",
    "EventSource",
    "Gap",
    "Headers",
    "ReadyState",
    "Reconnect",
    "Redirect",
    "Redirects",
    "Response",
]
