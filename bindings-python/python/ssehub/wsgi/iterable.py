"""An iterable's stream: its source runs in a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from ssehub.callbacks import tell_closed
from ssehub.handoff.wsgi import client_of, has_left
from ssehub.http import (
    ERROR_EVENT,
    FINISHED,
    FINISHED_BLOCK,
    HEAD_DELAY,
    HEARTBEAT,
    Options,
    item_bytes,
)
from ssehub.source import AHEAD, PATIENCE, pump, start_thread
from ssehub.stats import StreamInfo
from ssehub.wsgi.request import PROBE, last_event_id, path_of

__all__ = ["IterableBody"]

logger = logging.getLogger("ssehub")

# What a source hands over: ("item", bytes), ("end", None), ("error", exception); and between them ("beat", bytes).
_Item: TypeAlias = tuple[str, Any]


class IterableBody:
    """The body of an iterable's stream.

    The source runs in a thread of its own, in the request's context, so that the head and heartbeats can go out while
    it is silent. `begin` waits for what the head must wait for.
    """

    def __init__(
        self,
        source: Iterable[Any],
        options: Options,
        environ: dict[str, Any],
        in_context: Callable[[Callable[[], None]], Callable[[], None]] = lambda function: function,
    ) -> None:
        self._options = options
        self._client = client_of(environ)
        self._path = path_of(environ)
        self._mark = environ["REQUEST_METHOD"] == "GET" and options.once
        self._items: queue.Queue[_Item] = queue.Queue(AHEAD)
        self._first: _Item | None = None
        self._left = threading.Event()
        self._ended = False
        # For whoever wants to know when it is over.
        self._opened = time.monotonic()
        self._events = self._bytes = 0
        self._reason: str | None = "client"
        self._start = in_context(lambda: pump(source, self._put))

    @staticmethod
    def is_finished(options: Options, environ: dict[str, Any]) -> bool:
        """Whether the client has had this stream, to its end."""
        return (
            environ["REQUEST_METHOD"] == "GET"
            and options.once
            and last_event_id(environ) == FINISHED
        )

    def begin(self) -> None:
        """Waits for the first item, for a second at most. Raises what the source raises in that time."""
        start_thread(self._start)
        heartbeat = self._options.heartbeat
        delay = HEAD_DELAY if heartbeat is None else min(HEAD_DELAY, heartbeat)
        try:
            kind, value = self._items.get(timeout=delay)
        except queue.Empty:
            kind, value = "beat", HEARTBEAT
        if kind == "error":
            self._ended = True
            raise value
        self._first = kind, value

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._ended:
            raise StopIteration
        kind, value = self._first if self._first is not None else self._wait()
        self._first = None
        if kind in ("item", "beat"):
            self._events += kind == "item"
            self._bytes += len(value)
            return bytes(value)
        if kind == "error":
            self._reason = "error"
            logger.error("the source of a stream failed: %s", self._path, exc_info=value)
            # The client is told; the next step raises, so that the body is cut without its terminator.
            self._first = ("raise", value)
            return ERROR_EVENT
        self._ended = True
        if isinstance(value, Exception):
            raise value
        if kind == "end":
            self._reason = "finished"
        if kind == "end" and self._mark:
            return FINISHED_BLOCK
        raise StopIteration

    def _wait(self) -> _Item:
        heartbeat = self._options.heartbeat
        due = None if heartbeat is None else time.monotonic() + heartbeat
        while True:
            left = PROBE if due is None else min(PROBE, due - time.monotonic())
            if left <= 0:
                return "beat", HEARTBEAT
            try:
                return self._items.get(timeout=left)
            except queue.Empty:
                if has_left(self._client):
                    self.close()
                    return "left", None

    def _put(self, kind: str, value: Any) -> bool:
        if kind == "item":
            # What has no wire form fails like the source that made it.
            value = item_bytes(value)
        while not self._left.is_set():
            try:
                self._items.put((kind, value), timeout=PATIENCE)
            except queue.Full:
                continue
            return True
        return False

    def close(self) -> None:
        """Tells the source to stop at its next step. Called by the server in any case."""
        self._left.set()
        reason, self._reason = self._reason, None
        if reason is not None:
            duration = time.monotonic() - self._opened
            key, on_close = self._options.key, self._options.on_close
            info = StreamInfo(key, (), reason, "in-loop", duration, self._events, self._bytes, "")
            tell_closed(info, self._path, [on_close])
