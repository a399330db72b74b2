"""What a source tells its user: answers, gaps, attempts, redirects."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ssehub._ssehub import Event

__all__ = ["Attempt", "Gap", "Headers", "ReadyState", "Redirect", "Response"]


class ReadyState(enum.IntEnum):
    """Where a source stands, after the events that were read from it. The numbers are the standard's."""

    CONNECTING = 0
    """No stream is open: an attempt is under way, or the next one is waited for."""

    OPEN = 1
    """A stream is open."""

    CLOSED = 2
    """There will be no more events."""


class Headers(Mapping[str, str]):
    """The header fields of an answer. The case of names does not matter.

    >>> headers = Headers([("Content-Type", b"text/html"), ("vary", b"a"), ("Vary", b"b")])
    >>> headers["content-type"], headers["VARY"], headers.get_all("vary")
    ('text/html', 'a, b', ['a', 'b'])
    """

    __slots__ = ("_fields",)

    def __init__(self, pairs: Iterable[tuple[str, bytes]] = ()) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in pairs:
            self._fields.setdefault(name.lower(), []).append(_text(value))

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._fields[name.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def get_all(self, name: str) -> list[str]:
        """Each value of a field that may occur several times, such as Set-Cookie."""
        return list(self._fields.get(name.lower(), ()))

    def __repr__(self) -> str:
        return f"Headers({dict(self)})"


def _text(value: bytes) -> str:
    # Most are ASCII. What else there is, is UTF-8 nowadays, and once was Latin-1.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Response:
    """The head of an open stream.

    Attributes:
        status: 200.
        headers: The header fields.
        url: Where the stream comes from: redirects followed, credentials left out.
        http_version: "HTTP/1.1" or "HTTP/2".
    """

    status: int
    headers: Headers
    url: str
    http_version: str

    @classmethod
    def of(cls, about: dict[str, Any]) -> Response:
        """From the native module's words."""
        return cls(**{**about, "headers": Headers(about["headers"])})


@dataclass(frozen=True, slots=True)
class Gap:
    """A hub's word that events are lost: it does not retain them any more.

    Attributes:
        last_event_id: The position after which they are missing.
        reason: Why: they are too old, or the hub does not know the position (it has been restarted), or this client was
            too slow.
        event: The event that said so.
    """

    last_event_id: str
    reason: Literal["expired", "unknown", "lagged"]
    event: Event


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a function that gives header fields is called with.

    Attributes:
        number: Of the attempt that is to be made, from 1.
        status: The status of the last answer, where it opened no stream. After a 401, the first since a stream was
            open, there is another attempt at once: time for a new token.
    """

    number: int
    status: int | None


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect that may be followed.

    Attributes:
        url: From where.
        location: To where.
        status: 301, 302, 303, 307 or 308.
        method: Of the request that would be made.
    """

    url: str
    location: str
    status: int
    method: str
