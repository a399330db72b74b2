"""The server's end: streams must end first, or the server waits for them."""

from __future__ import annotations

import _thread
import asyncio
import os
import signal
import weakref
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from ssehub.hub import Hub

__all__ = ["Lifespan", "shutdown"]

# Long enough for clients that read slowly, short enough for the patience of process managers.
DRAIN_TIMEOUT = 8.0
DRAIN_SPREAD = 5.0
# How long an iterable may go on, in seconds: most of them come to an end of their own.
GRACE = 5.0


class _Stream(Protocol):
    """A stream that no hub knows of."""

    loop: asyncio.AbstractEventLoop

    def end_soon(self, grace: float) -> None: ...


class Shutdown:
    """Ends all streams at SIGTERM and SIGINT, then lets the handlers that were there do their work.

    No server is patched: handlers are chained, as any library may. Asyncio's and uvloop's own signal handling goes on
    beside it, since it hangs on the wake-up descriptor and not on the handler.
    """

    def __init__(self) -> None:
        self._hubs: list[weakref.ref[Hub]] = []
        self._streams: dict[int, _Stream] = {}
        self._previous: dict[int, Any] = {}
        # The process whose handlers are chained: a forked child installs its own.
        self._process = 0
        # Applications that are running: the last one to end puts the former handlers back.
        self._running = 0

    def watch(self, hub: Hub) -> None:
        """Sees to it that a hub's streams end with the server."""
        if not any(known() is hub for known in self._hubs):
            self._hubs = [known for known in self._hubs if known() is not None]
            self._hubs.append(weakref.ref(hub))
        self._install()

    def enter(self, stream: _Stream) -> None:
        """Sees to it that an iterable's stream ends with the server, until `leave`."""
        self._streams[id(stream)] = stream
        self._install()

    def leave(self, stream: _Stream) -> None:
        """The stream is over."""
        self._streams.pop(id(stream), None)

    def begin(self) -> None:
        """An application starts."""
        self._running += 1

    def end(self) -> None:
        """An application has ended: puts the former handlers back, unless somebody has set others since."""
        self._running -= 1
        if self._running > 0 or self._process != os.getpid():
            return
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                try:
                    signal.signal(number, previous)
                except ValueError:
                    return
        self._previous.clear()
        self._process = 0

    def _install(self) -> None:
        """Chains the handlers, once per process, where that is possible: on the main thread."""
        if self._process == os.getpid():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            # Whoever ignores a signal means it; a handler that C code has set cannot be called from here.
            if previous is None or previous is signal.SIG_IGN or previous == self._handle:
                continue
            try:
                signal.signal(number, self._handle)
            except ValueError:
                # Not the main thread. Asked of Python and not of `threading`, where a greenlet is a thread.
                return
            self._previous[number] = previous
        self._process = os.getpid()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # A lock may be held right here, by the code that the signal has interrupted. `threading.Thread` would wait
        # until it runs, which gevent's loop must not.
        _thread.start_new_thread(self._end_streams, ())
        previous = self._previous.get(number, signal.SIG_DFL)
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            # Nobody else would end the process, as the default does.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _end_streams(self) -> None:
        for known in list(self._hubs):
            hub = known()
            if hub is not None:
                hub.start_drain(DRAIN_TIMEOUT, DRAIN_SPREAD)
        for stream in list(self._streams.values()):
            try:
                stream.loop.call_soon_threadsafe(stream.end_soon, GRACE)
            except RuntimeError:
                # Its loop is closed, and it with it.
                continue


shutdown = Shutdown()
"""The one of this process."""


class Lifespan:
    """What `hub.lifespan(app)` gives: begin and end of the application."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def __aenter__(self) -> None:
        # A server that stopped has drained the hub; this is another start, in tests often of the same process.
        self._hub._resume()
        shutdown.begin()
        shutdown.watch(self._hub)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._hub._connections:
            await self._hub.drain(DRAIN_TIMEOUT, DRAIN_SPREAD)
        shutdown.end()
        # Callbacks and last bytes get a turn of the loop.
        await asyncio.sleep(0)
