"""What all frameworks' responses have in common: their arguments, checked where the handler makes them."""

from __future__ import annotations

import datetime
from typing import Any

from ssehub.errors import ArgumentError
from ssehub.http import Options
from ssehub.options import milliseconds
from ssehub.subscription import Subscription

__all__ = ["UNSET", "make_options"]

# The default of settings for which None has a meaning.
UNSET: Any = object()


def make_options(
    content: Any, *, heartbeat: Any, handoff: Any, expires_at: Any, **rest: Any
) -> Options:
    """Checks what a response is given, at once and not when the stream begins."""
    if handoff not in ("detach", "hold", "off", "require"):
        raise ArgumentError(f"handoff is 'detach', 'hold', 'off' or 'require', not {handoff!r}")
    if rest["refuse"] not in ("retry", "status"):
        raise ArgumentError(f"refuse is 'retry' or 'status', not {rest['refuse']!r}")
    if heartbeat is UNSET:
        heartbeat = content.hub.heartbeat if isinstance(content, Subscription) else 15.0
    if milliseconds(heartbeat, "heartbeat") == 0:
        raise ArgumentError("heartbeat must be longer than 0 seconds; None switches it off")
    milliseconds(rest["max_age"], "max_age")
    if isinstance(expires_at, datetime.datetime):
        expires_at = expires_at.timestamp()
    elif expires_at is not None:
        milliseconds(expires_at, "expires_at")
    key = rest["key"]
    if key is not None and not isinstance(key, str):
        raise TypeError(f"key is a str, not {key!r}")
    for name in ("snapshot", "on_close"):
        if rest[name] is not None and not callable(rest[name]):
            raise TypeError(f"{name} is a function, not {rest[name]!r}")
    if isinstance(content, (str, bytes, dict)):
        raise TypeError(
            f"a stream of events is made of a subscription or an iterable of items, not of {type(content).__name__}"
        )
    if not (callable(content) or hasattr(content, "__iter__") or hasattr(content, "__aiter__")):
        raise TypeError(
            f"content is a subscription, an iterable, or a callable that makes one, not {content!r}"
        )
    return Options(heartbeat=heartbeat, handoff=handoff, expires_at=expires_at, **rest)
