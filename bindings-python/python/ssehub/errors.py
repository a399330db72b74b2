"""The exceptions: one root, and what each means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssehub._ssehub import Event

__all__ = [
    "ArgumentError",
    "ClosedError",
    "DrainingError",
    "EventTooLargeError",
    "HandoffError",
    "LaggedError",
    "LimitError",
    "SSEHubError",
]


class SSEHubError(Exception):
    """The root of all exceptions of this package. Each message says what to do."""


class ArgumentError(SSEHubError, ValueError):
    """An argument that cannot work: a line break in an event type, settings that contradict."""


class EventTooLargeError(SSEHubError, ValueError):
    """An event is over a size limit, of the hub or of the parser.

    `events` are those that the parser had completed before, in the same call.
    """

    events: Sequence[Event] = ()


class LimitError(SSEHubError, RuntimeError):
    """A limit of the hub is reached: too many streams, too many topics. It may be free again later."""


class DrainingError(SSEHubError, RuntimeError):
    """The hub is ending its streams and takes no new ones."""


class ClosedError(SSEHubError, RuntimeError):
    """The hub is closed."""


class LaggedError(SSEHubError, RuntimeError):
    """A subscription was read too slowly: more than `max_lag` bytes were published meanwhile.

    Subscribe again with `last_event_id=subscription.last_event_id` to resume, read faster, raise
    `max_lag`, or choose `slow="skip"`.
    """


class HandoffError(SSEHubError, RuntimeError):
    """`handoff="require"` was asked for, and the connection cannot be handed to the engine."""
