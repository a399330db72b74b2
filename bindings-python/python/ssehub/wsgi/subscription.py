"""A subscription's stream: frames as they come, until the engine takes over."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from ssehub._ssehub import End, Gap, Selector
from ssehub.errors import HandoffError
from ssehub.handoff.refusals import Refused, explain, refuse
from ssehub.handoff.reports import Handed, reporter_of
from ssehub.handoff.wsgi import (
    Handover,
    client_of,
    cut_off,
    has_left,
    has_no_socket,
    is_stopping,
    take_error,
)
from ssehub.http import Options, announces, snapshot_bytes, start
from ssehub.options import milliseconds
from ssehub.shutdown import DRAIN_SPREAD, DRAIN_TIMEOUT, shutdown
from ssehub.stalled import watch
from ssehub.subscription import Subscription
from ssehub.wsgi.request import PROBE, last_event_id, path_of

__all__ = ["SubscriptionBody"]


class SubscriptionBody:
    """The body of a subscription's stream. Frames as they come; comments while nothing does.

    What it begins with goes through the server, and shows whether that writes what it is given, at once. If so, the
    engine takes the socket, and the body is at its end; held, it waits for the stream's end. If not, it goes on.

    It waits on a `threading.Event`: under gevent's monkey-patching the wait is cooperative.
    """

    def __init__(self, source: Subscription, options: Options, environ: dict[str, Any]) -> None:
        self._hub = source.hub
        self._topics = source.topics
        self._options = options
        self._path = path_of(environ)
        self._client = client_of(environ)
        self._signal = threading.Event()
        # When to look whether the server goes on.
        self._probe_at = 0.0
        # Since when the server has been sending what it was given.
        self.busy_since: float | None = None
        self._reason = "client"
        # Whether the stream's begin has been told.
        self._opened = False
        # Whether it may begin with a gap, which a snapshot follows.
        self._snapshot_due = options.snapshot is not None
        # Nothing to free before there is a stream.
        self._closed = True
        self._handover = self._prepare(environ)
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
        if self._handover is None:
            self._tell_opened("in-loop")
        # Made here, and not when the body is read: if it fails, the framework may still answer with an error page.
        self._first = self._begin()
        self._chunks = self._stream()

    def _prepare(self, environ: dict[str, Any]) -> Handover | None:
        handoff = self._options.handoff
        if handoff == "off" or has_no_socket(environ):
            return None
        try:
            return Handover(environ, hold=handoff == "hold")
        except Refused as refused:
            self._stay(refused)
            return None

    def _stay(self, refused: Refused) -> None:
        """The socket stays the server's."""
        refuse(self._hub, refused.reason, refused.detail)
        if self._options.handoff == "require":
            raise HandoffError(f"handoff='require': {explain(refused.reason, refused.detail)}")

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
        """Whether the stream is to end. Its own thread may be the one that would have the hub drained, and waits."""
        return not self._hub.ready or is_stopping()

    def cut(self) -> None:
        """The client takes nothing: fails the server's sending, so that its thread gets free."""
        self._reason = "drain" if self.draining else "slow"
        with contextlib.suppress(OSError, ValueError):
            # Unless it has gone meanwhile.
            cut_off(self._client)

    def _stream(self) -> Iterator[bytes]:
        try:
            delivery = self._first or self._next()
            while delivery is not None:
                if isinstance(delivery, End):
                    self._reason = delivery.reason
                    if delivery.last:
                        yield delivery.last
                    return
                if isinstance(delivery, Gap):
                    # The snapshot bears the position, and the gap none.
                    delivery = delivery.frame + self._snapshot()
                yield delivery
                delivery = self._hand_over(delivery)
                if self._closed:
                    return
                delivery = delivery or self._next()
        except Exception:
            self._reason = "error"
            raise
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
                if self._end_with_server():
                    continue
            if not self._signal.wait(PROBE if delay is None else min(PROBE, delay)) and has_left(
                self._client
            ):
                return None

    def _end_with_server(self) -> bool:
        """Ends all streams if the server has been told to stop. Whether that has happened just now."""
        if is_stopping() and self._hub.ready:
            self._hub.start_drain(DRAIN_TIMEOUT, DRAIN_SPREAD)
            return True
        return False

    def _hand_over(self, last: bytes) -> bytes | Gap | End | None:
        """Tries to give the stream to the engine, after `last` has gone out. What has to go out before, if anything."""
        handover = self._handover
        if handover is None:
            return None
        handover.wrote(last)
        if self._snapshot_due:
            # The engine can make none: if the stream begins with a gap, it and its snapshot go out from here.
            self._snapshot_due = False
            delivery = self._selector.poll(self._token)
            if delivery is not None:
                return delivery
        self._handover = None
        try:
            self._move(handover)
        except FileNotFoundError:
            # Ended meanwhile: that comes next.
            handover.give_up()
        except Refused as refused:
            handover.give_up()
            self._stay(refused)
        if not self._closed:
            self._tell_opened("in-loop")
        return None

    def _move(self, handover: Handover) -> None:
        """Gives the stream to the engine. Held, it waits for the end."""
        options, hub = self._options, self._hub
        at = self._selector.position(self._token) or ""
        over = threading.Event() if handover.hold else None
        handed = Handed(self._path, options.on_close, over)
        reporter = reporter_of(hub)
        handover.move(
            self._selector, self._token, reporter, handed, snapshot=options.snapshot is not None
        )
        self._closed = True
        watch.remove(self)
        try:
            try:
                self._tell_opened("detached" if over is None else "held", at)
            finally:
                reporter.begun(handed)
            while over is not None and not over.wait(PROBE):
                # The engine does not read from a connection that the server keeps.
                if has_left(self._client):
                    reporter.end(handed, "client")
                self._end_with_server()
        except BaseException:
            if over is not None:
                reporter.end(handed, self._reason)
            raise
        if over is not None and handed.clean:
            take_error(self._client)
        elif over is not None:
            self.cut()

    def _tell_opened(self, mode: str, at: str | None = None) -> None:
        if not self._opened:
            self._opened = True
            if at is None:
                at = self._selector.position(self._token) or ""
            self._hub._opened(self._options.key, self._topics, at, mode)

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
            if self._handover is not None:
                self._handover.give_up()
            self._tell_opened("in-loop")
            info = self._selector.remove(self._token, self._reason)
            self._hub._closed(info, self._path, self._options.on_close)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()
