"""Streams in a WSGI server's thread. Framework-neutral: `flask.py` gives it a face.

The body is an object and not a generator: servers call `close` also on a body that they never began to read.
"""

from __future__ import annotations

import _socket
import contextlib
import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from ssehub._ssehub import End, Gap, Selector
from ssehub.callbacks import tell_closed
from ssehub.handoff.wsgi import is_stopping
from ssehub.http import (
    ERROR_EVENT,
    FINISHED,
    FINISHED_BLOCK,
    HEAD_DELAY,
    HEARTBEAT,
    Options,
    announces,
    item_bytes,
    position,
    snapshot_bytes,
    start,
)
from ssehub.options import milliseconds
from ssehub.shutdown import DRAIN_SPREAD, DRAIN_TIMEOUT, shutdown
from ssehub.source import AHEAD, PATIENCE, pump, start_thread
from ssehub.stalled import watch
from ssehub.stats import StreamInfo
from ssehub.subscription import Subscription

__all__ = ["IterableBody", "SubscriptionBody", "last_event_id"]

logger = logging.getLogger("ssehub")

# How often a silent stream looks whether its client is still there, in seconds.
PROBE = 1.0


def last_event_id(environ: dict[str, Any]) -> str:
    """The client's position: the header, else the query parameter."""
    # WSGI hands headers over as Latin-1; EventSource writes ids as UTF-8.
    header = str(environ.get("HTTP_LAST_EVENT_ID", ""))
    given = header.encode("latin-1", "replace").decode("utf-8", "replace")
    return position(given, str(environ.get("QUERY_STRING", "")))


def client_socket(environ: dict[str, Any]) -> _socket.socket | None:
    """A duplicate of the client's socket, as far as the server shows it. OSError where it is gone.

    A raw one: gevent's sockets would wait where nothing here must.
    """
    sock = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    descriptor = -1 if sock is None else sock.fileno()
    # Closed here, or no socket at all: nothing to be seen of the client.
    return None if descriptor < 0 else _socket.socket(fileno=os.dup(descriptor))


def client_has_left(environ: dict[str, Any]) -> bool:
    """Whether the client has closed its side, as far as the server shows its socket."""
    try:
        probe = client_socket(environ)
    except (OSError, ValueError):
        return True
    if probe is None:
        return False
    try:
        return probe.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        probe.close()


# What a source hands over: ("item", bytes), ("end", None), ("error", exception); and between them ("beat", bytes).
_Item: TypeAlias = tuple[str, Any]


class SubscriptionBody:
    """The body of a subscription's stream. Frames as they come; comments while nothing does.

    It waits on a `threading.Event`: under gevent's monkey-patching the wait is cooperative.
    """

    def __init__(self, source: Subscription, options: Options, environ: dict[str, Any]) -> None:
        self._hub = source.hub
        self._options = options
        self._environ = environ
        self._signal = threading.Event()
        # When to look whether the server goes on.
        self._probe_at = 0.0
        # Since when the server has been sending what it was given.
        self.busy_since: float | None = None
        self._reason = "client"
        # Nothing to free before there is a stream.
        self._closed = True
        given = last_event_id(environ)
        self._selector = Selector(self._hub, self._signal.set)
        self._token = self._selector.add(
            start(source, options, given),
            key=options.key,
            retry=self._hub._retry,
            announce_position=announces(source, options, given),
            heartbeat=milliseconds(options.heartbeat, "heartbeat"),
            max_age=milliseconds(options.max_age, "max_age"),
            expires_in=options.expires_in(),
            write_timeout=None,
            connection=True,
        )
        self._closed = False
        watch.add(self)
        shutdown.watch(self._hub)
        self._hub._opened(options.key, source.topics, self._selector.position(self._token) or "")
        # Made here, and not when the body is read: if it fails, the framework may still answer with an error page.
        self._first = self._begin()
        self._chunks = self._stream()

    def _begin(self) -> bytes:
        if self._options.snapshot is None or not self._selector.needs_snapshot(self._token):
            return b""
        opening = self._selector.poll(self._token)
        try:
            return (opening if isinstance(opening, bytes) else b"") + self._snapshot()
        except BaseException:
            self._reason = "error"
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.busy_since = None
        chunk = next(self._chunks)
        self.busy_since = time.monotonic()
        return chunk

    @property
    def draining(self) -> bool:
        """Whether the stream is to end."""
        return not self._hub.ready

    def cut(self) -> None:
        """The client takes nothing: fails the server's sending, so that its thread gets free."""
        self._reason = "drain" if self.draining else "slow"
        try:
            sock = client_socket(self._environ)
            if sock is not None:
                with contextlib.closing(sock):
                    sock.shutdown(socket.SHUT_RDWR)
        except (OSError, ValueError):
            # It has gone meanwhile.
            return

    def _stream(self) -> Iterator[bytes]:
        try:
            if self._first:
                yield self._first
            while True:
                delivery = self._next()
                if isinstance(delivery, bytes):
                    yield delivery
                elif isinstance(delivery, Gap):
                    # In one piece: whoever has the gap's id resumes behind it.
                    yield delivery.frame + self._snapshot()
                elif isinstance(delivery, End):
                    self._reason = delivery.reason
                    if delivery.last:
                        yield delivery.last
                    return
                else:
                    return
        finally:
            self.close()

    def _next(self) -> bytes | Gap | End | None:
        """What comes next; None where the client has left."""
        while True:
            # Lowered before looking: a signal between the look and the wait is not lost.
            self._signal.clear()
            ready, delay = self._selector.select()
            delivery = ready[0][1] if ready else self._selector.poll(self._token)
            if delivery is not None:
                return delivery
            if time.monotonic() >= self._probe_at:
                self._probe_at = time.monotonic() + PROBE
                if is_stopping() and self._hub.ready:
                    self._hub.start_drain(DRAIN_TIMEOUT, DRAIN_SPREAD)
                    continue
            if not self._signal.wait(
                PROBE if delay is None else min(PROBE, delay)
            ) and client_has_left(self._environ):
                return None

    def _snapshot(self) -> bytes:
        if self._options.snapshot is None:
            return b""
        at = self._selector.position(self._token)
        return snapshot_bytes(self._hub, self._options.snapshot(), at)

    def close(self) -> None:
        """Frees what the stream holds. Called by the server in any case."""
        if not self._closed:
            self._closed = True
            watch.remove(self)
            info = self._selector.remove(self._token, self._reason)
            self._hub._closed(info, str(self._environ.get("PATH_INFO", "")), self._options.on_close)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()


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
        self._environ = environ
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
            logger.error(
                "the source of a stream failed: %s", self._environ.get("PATH_INFO"), exc_info=value
            )
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
                if client_has_left(self._environ):
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
            tell_closed(info, str(self._environ.get("PATH_INFO", "")), [on_close])
