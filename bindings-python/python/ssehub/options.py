"""Settings: frozen, typed, and checked by the hub that gets them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ssehub.errors import ArgumentError

__all__ = ["Handoff", "History", "Limits", "OnGap", "Pattern", "Refuse", "Slow", "pattern"]

Slow = Literal["disconnect", "skip", "conflate"]
"""What happens to a reader whose lag is over its limit."""

OnGap = Literal["replay", "live"]
"""What follows a gap event: what is still retained, or live events only."""

Handoff = Literal["detach", "hold", "off", "require"]
"""Who owns the client's socket once the response has begun."""

Refuse = Literal["retry", "status"]
"""How a stream is refused: an empty stream that says when to come back, or an error status."""


@dataclass(frozen=True, slots=True)
class History:
    """How much of a topic a new or returning reader may replay. The first limit that is reached counts.

    Attributes:
        count: The number of events; 0 keeps none.
        bytes: Their bytes on the wire; 0 keeps none.
        age: Seconds since the event was published; None for no limit.
    """

    count: int = 1000
    bytes: int = 1 << 20
    age: float | None = 300


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a hub may be asked for. Over one of them a call raises, and a stream is refused.

    Attributes:
        connections: Streams at the same time.
        connections_per_key: Streams at the same time with the same `key=`; over it the key's oldest
            stream is closed. None for no limit.
        topics_per_subscription: Topics and patterns of one subscription.
        event_size: Bytes of one event on the wire.
        history_bytes: Bytes of all histories together; the oldest events go first.
    """

    connections: int = 100_000
    connections_per_key: int | None = None
    topics_per_subscription: int = 1000
    event_size: int = 256 * 1024
    history_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Pattern:
    """A topic pattern. Made by `pattern()`."""

    text: str


def pattern(text: str) -> Pattern:
    """A pattern to subscribe to: tokens between dots, `*` for one token, `>` for one or more at the end.

    Patterns are never guessed from a `*` inside a name, since names are often built from user input.

    >>> pattern("orders.*")
    Pattern(text='orders.*')
    """
    return Pattern(text)


def history_values(history: Any) -> tuple[int, int, int | None]:
    """A history as plain values, its age in milliseconds."""
    if not isinstance(history, History):
        raise TypeError(f"a history is given as History(count=, bytes=, age=), not {history!r}")
    return (
        whole(history.count, "history count"),
        whole(history.bytes, "history bytes"),
        milliseconds(history.age, "age"),
    )


def whole(value: Any, name: str) -> int:
    """A setting that counts something, in the range of the core's numbers."""
    if type(value) is not int:
        raise TypeError(f"{name} is an int, not {value!r}")
    if not 0 <= value < 1 << 53:
        raise ArgumentError(f"{name} must be from 0 to 2**53 - 1, and is {value}")
    return value


def milliseconds(seconds: float | None, name: str) -> int | None:
    """Seconds, as a user gives them, in the core's unit."""
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {seconds!r}")
    if not 0 <= seconds < 1e12:
        raise ArgumentError(f"{name} is a number of seconds, not {seconds!r}")
    return max(round(seconds * 1000), 1) if seconds else 0
