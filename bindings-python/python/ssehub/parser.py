"""Events from bytes that somebody else has fetched."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

from ssehub._ssehub import Event, Parser
from ssehub.errors import EventTooLargeError

__all__ = ["Parser", "aiter_events", "iter_events"]

_DEFAULT_MAX_EVENT_SIZE = 16 * 1024 * 1024


def iter_events(
    source: Iterable[bytes], *, max_event_size: int = _DEFAULT_MAX_EVENT_SIZE
) -> Iterator[Event]:
    r"""The events of a byte stream that httpx, requests, urllib3 or a file has opened.

    >>> [event.data for event in iter_events([b"data: hel", b"lo\n\n"])]
    ['hello']

    Args:
        source: Any iterable of bytes, in pieces of any size: `response.iter_bytes()`.
        max_event_size: The bytes that one event may take.

    Raises:
        EventTooLargeError: once an event is larger; those before it have been yielded.
    """
    parser = Parser(max_event_size=max_event_size)
    for chunk in source:
        try:
            events = parser.feed(chunk)
        except EventTooLargeError as error:
            yield from error.events
            raise
        yield from events


async def aiter_events(
    source: AsyncIterable[bytes], *, max_event_size: int = _DEFAULT_MAX_EVENT_SIZE
) -> AsyncIterator[Event]:
    """The same for an async source: `response.aiter_bytes()`, `response.content.iter_any()`."""
    parser = Parser(max_event_size=max_event_size)
    async for chunk in source:
        try:
            events = parser.feed(chunk)
        except EventTooLargeError as error:
            for event in error.events:
                yield event
            raise
        for event in events:
            yield event
