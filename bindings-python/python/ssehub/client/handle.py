"""A source as what is held: where it stands, and how it is opened and closed."""

from __future__ import annotations

from collections.abc import Iterator
from operator import length_hint
from typing import TYPE_CHECKING, Any

from ssehub import _ssehub
from ssehub.client.messages import ReadyState, Response

if TYPE_CHECKING:
    from typing_extensions import Self

    from ssehub._ssehub import Event
    from ssehub.client.functions import Call
    from ssehub.client.waiting import Waiter

__all__ = ["Handle"]


class Handle:
    """What `EventSource` knows of itself. Whoever iterates fills it."""

    __slots__ = (
        "__weakref__",
        "_closed",
        "_current",
        "_events",
        "_last_event_id",
        "_native",
        "_options",
        "_pending",
        "_request",
        "_response",
        "_url",
        "_waiter",
    )

    def __init__(self, request: dict[str, Any], options: dict[str, Any]) -> None:
        self._request = request
        self._options = options
        self._url = _ssehub.EventSource.check(request, options)
        self._native: _ssehub.EventSource | None = None
        self._waiter: Waiter | None = None
        # Taken, and not yet yielded; and what was yielded last.
        self._events: Iterator[Event] = iter(())
        self._current: Event | None = None
        # What has to be called before anything else is taken.
        self._pending: Call | None = None
        self._response: Response | None = None
        self._closed = False
        # As of what was taken. The native source knows it, too, but not in a forked process.
        self._last_event_id: str = request["last_event_id"] or ""

    @property
    def url(self) -> str:
        """The URL that is asked at each attempt, without credentials."""
        return self._url

    @property
    def ready_state(self) -> ReadyState:
        """Where it stands, after the events that were read."""
        if self._closed:
            return ReadyState.CLOSED
        return ReadyState(self._native.ready_state if self._native else 0)

    @property
    def last_event_id(self) -> str:
        """The last event id, after the events that were read. With it, another source goes on from here."""
        if self._current is not None and length_hint(self._events):
            return self._current.id or ""
        self._note_position()
        return self._last_event_id

    @property
    def response(self) -> Response | None:
        """The head of the stream that is open, or was last. None before the first."""
        return self._response

    @property
    def finished(self) -> bool:
        """Whether the stream is complete: `stop_on` has come, or the server answered with 204."""
        return self._native is not None and self._native.finished

    def close(self) -> None:
        """Closes the connection and ends the iteration. From any thread; also done when the object is dropped."""
        if not self._closed:
            self._last_event_id = self.last_event_id
            self._closed = True
        if self._native is not None:
            self._native.close()
        # Emptied, and not replaced: a loop may be in the midst of it.
        list(self._events)
        self._waiter = self._pending = None

    async def aclose(self) -> None:
        """The same for `contextlib.aclosing` and the like."""
        self.close()

    def restart(self) -> None:
        """Connects anew, now: cuts the connection there is, or cuts short the delay before the next."""
        if self._native is not None:
            self._native.restart()

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<EventSource {self.url} {self.ready_state.name.lower()}>"

    # For whoever iterates.

    def _open(self) -> _ssehub.EventSource:
        if self._native is None:
            self._native = _ssehub.EventSource(self._request, self._options)
        return self._native

    def _note_position(self) -> None:
        """Blocks without data have an id, too. What was taken and never yielded counts no more once it is closed."""
        if self._closed or self._native is None:
            return
        known = self._native.last_event_id
        if known is not None:
            self._last_event_id = known
