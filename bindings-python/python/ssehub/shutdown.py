"""The server's end: streams must end first, or the server waits for them."""

from __future__ import annotations

import _thread
import asyncio
import atexit
import os
import signal
import time
import weakref
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

from ssehub.handoff.reports import settle
from ssehub.handoff.transports import find_end
from ssehub.loops import running_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType, TracebackType

    from ssehub.hub import Hub

__all__ = ["Lifespan", "shutdown"]

# Long enough for clients that read slowly, short enough for the patience of process managers.
DRAIN_TIMEOUT = 8.0
# Nobody waits longer than that for the process to go, whatever the number of streams.
DRAIN_SPREAD = 1.0
# What servers get for their last bytes when a signal's default action is about to end the process, in seconds.
LAST_BYTES = 0.1
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

    The engine's streams outlive their requests, and no server waits for them: they end when the interpreter exits.

    hypercorn tells its workers by an event of its own, which is waited for. It would end the lifespan, and the streams
    with it, only when all connections are closed.
    """

    def __init__(self) -> None:
        self._hubs: list[weakref.ref[Hub]] = []
        self._streams: dict[int, _Stream] = {}
        self._previous: dict[int, Any] = {}
        # The process whose handlers are chained: a forked child installs its own.
        self._process = 0
        # The process whose exit is watched, likewise.
        self._exits = 0
        # Whether a signal's default action waits for the streams.
        self._ending = False
        # Applications that are running: the last one to end puts the former handlers back.
        self._running = 0
        # Loops whose server has been looked at. Weak: nobody else keeps a loop that is closed.
        self._loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        # What waits for servers' ends. Kept, since loops do not keep their tasks.
        self._ends: set[asyncio.Task[None]] = set()

    def watch(self, hub: Hub) -> None:
        """Sees to it that a hub's streams end with the server."""
        if not any(known() is hub for known in self._hubs):
            self._hubs = [known for known in self._hubs if known() is not None]
            self._hubs.append(weakref.ref(hub))
        if self._exits != os.getpid():
            self._exits = os.getpid()
            atexit.unregister(self._at_exit)
            atexit.register(self._at_exit)
        self._install()

    def watch_server(self, receive: object, send: object) -> None:
        """Sees to it that streams end with the ASGI server behind a request, where it sends its workers no signal."""
        loop = running_loop()
        if loop in self._loops:
            return
        self._loops.add(loop)
        wait = find_end(receive, send)
        if wait is not None:
            # In a context of its own: the request's is not to be kept for as long as the server runs.
            task = Context().run(loop.create_task, self._end_with(wait))
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)

    async def _end_with(self, wait: Callable[[], Awaitable[object]]) -> None:
        await wait()
        # Another server may follow in the same loop.
        self._loops.discard(asyncio.get_running_loop())
        self._end_streams()

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
        previous = self._previous.get(number, signal.SIG_DFL)
        if not self._ending and (previous == signal.SIG_DFL or self._nobody_waits()):
            self._ending = True
            _thread.start_new_thread(self._end_process, (number,))
        elif callable(previous):
            _thread.start_new_thread(self._end_streams, ())
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            # Nobody else would end the process, as the default does.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _nobody_waits(self) -> bool:
        """Whether the engine has an ASGI server's streams, and there is no lifespan that waits for them.

        The interpreter's exit is too late then: uvicorn's last act is to have the signal kill the process.
        """
        return not self._running and any(
            host.handed_off for hub in self._alive() for host in tuple(hub._hosts)
        )

    def _end_process(self, number: int) -> None:
        """Gives the streams their ends, then has the signal come again: what it does is for the main thread to do."""
        self._end_streams()
        deadline = time.monotonic() + DRAIN_TIMEOUT
        while any(hub._connections for hub in self._alive()) and time.monotonic() < deadline:
            time.sleep(0.01)
        settle(self._alive(), 1.0)
        time.sleep(LAST_BYTES)
        os.kill(os.getpid(), number)

    def _at_exit(self) -> None:
        if self._exits == os.getpid():
            self._end_streams()
            settle(self._alive(), DRAIN_TIMEOUT + 1)

    def _alive(self) -> list[Hub]:
        return [hub for known in self._hubs if (hub := known()) is not None]

    def _end_streams(self) -> None:
        for hub in self._alive():
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
        # Before the server takes requests that it could not serve.
        running_loop()
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
        if self._hub._has_streams():
            await self._hub.drain(DRAIN_TIMEOUT, DRAIN_SPREAD)
        shutdown.end()
        # Callbacks and last bytes get a turn of the loop.
        await asyncio.sleep(0)
