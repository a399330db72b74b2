"""The hub and the server's end: streams must end first, or the server waits for them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from ssehub.hub import Hub

__all__ = ["Lifespan", "SignalWatch"]

logger = logging.getLogger("ssehub")

# Long enough for clients that read slowly, short enough for the patience of process managers.
DRAIN_TIMEOUT = 8.0
DRAIN_SPREAD = 5.0


class SignalWatch:
    """Drains the hub at SIGTERM and SIGINT, then lets the handler that was there do its work.

    No server is patched: handlers are chained, as any library may. Asyncio's and uvloop's own signal handling goes on
    beside it, since it hangs on the wake-up descriptor and not on the handler.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._previous: dict[int, Any] = {}
        self._process = 0

    def install(self) -> None:
        """Chains the handlers, once per process, where that is possible: on the main thread."""
        if self._process == os.getpid():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            # Whoever ignores a signal means it; a handler that C code has set cannot be called from here.
            if previous is None or previous is signal.SIG_IGN:
                continue
            try:
                signal.signal(number, self._handle)
            except ValueError:
                # Not the main thread. Asked of Python and not of `threading`, where a greenlet is a thread.
                return
            self._previous[number] = previous
        self._process = os.getpid()

    def uninstall(self) -> None:
        """Puts the former handlers back, unless somebody has set others since."""
        if self._process != os.getpid():
            return
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                try:
                    signal.signal(number, previous)
                except ValueError:
                    return
        self._previous.clear()
        self._process = 0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # A lock of the hub may be held right here, by the code that the signal has interrupted.
        threading.Thread(
            target=self._hub.start_drain,
            args=(DRAIN_TIMEOUT, DRAIN_SPREAD),
            name="ssehub-drain",
            daemon=True,
        ).start()
        previous = self._previous.get(number, signal.SIG_DFL)
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            # Nobody else would end the process, as the default does.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


class Lifespan:
    """What `hub.lifespan(app)` gives: begin and end of the application."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def __aenter__(self) -> None:
        # A server that stopped has drained the hub; this is another start, in tests often of the same process.
        self._hub._resume()
        self._hub._watch_signals()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        hub = self._hub
        if hub._connections:
            await hub.drain(DRAIN_TIMEOUT, DRAIN_SPREAD)
        if hub._signals is not None:
            hub._signals.uninstall()
        # Callbacks and last bytes get a turn of the loop.
        await asyncio.sleep(0)
