"""How to wait for a source: in a thread, in an asyncio loop, in trio.

The client's thread never calls Python, and so never waits for the GIL: it notes which sources have something to take,
and makes a descriptor readable. A loop has one such descriptor for all of its sources.
"""

from __future__ import annotations

import asyncio
import itertools
import select
import socket
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from ssehub import _ssehub

if TYPE_CHECKING:
    from ssehub._ssehub import Wake

__all__ = ["Waiter", "in_task", "in_thread"]

Waiter: TypeAlias = "InThread | InLoop | InTrio"
"""How a source was waited for last."""


def in_thread(waiter: Waiter | None, native: _ssehub.EventSource) -> InThread:
    """Waits here, in a thread. By the source's last waiter, if that will do."""
    if asyncio._get_running_loop() is not None or _in_trio():
        raise RuntimeError(
            "this thread runs an event loop, which a blocking read would stop: use `async for`"
        )
    return waiter if isinstance(waiter, InThread) else InThread(native)


def in_task(waiter: Waiter | None, native: _ssehub.EventSource) -> InLoop | InTrio:
    """Waits here, in a task. By the source's last waiter, if that will do."""
    if waiter is not None and not isinstance(waiter, InThread) and waiter.fits():
        return waiter
    return InTrio(native) if asyncio._get_running_loop() is None and _in_trio() else InLoop(native)


def _in_trio() -> bool:
    trio: Any = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_run())


class InThread:
    """Waits by blocking. Ctrl-C gets through; where gevent has patched `select`, other greenlets run meanwhile."""

    __slots__ = ("_poll", "_wake")

    def __init__(self, native: _ssehub.EventSource) -> None:
        self._wake = _ssehub.Wake()
        self._poll = _poller(self._wake.fileno())
        native.attach(self._wake, 0)

    def wait(self, timeout: float | None) -> bool:
        """Whether there was something in so many seconds."""
        if not self._poll(timeout):
            return False
        self._wake.take()
        return True


def _poller(descriptor: int) -> Callable[[float | None], Any]:
    # Looked up now, since a patch may come late. Windows has `select` only; elsewhere that ends at descriptor 1,023.
    if not hasattr(select, "poll"):
        return lambda timeout: select.select([descriptor], [], [], timeout)[0]
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda timeout: poll.poll(None if timeout is None else max(timeout * 1000, 0))


class InTrio:
    """Waits in a trio task."""

    __slots__ = ("_wake",)

    def __init__(self, native: _ssehub.EventSource) -> None:
        self._wake = _ssehub.Wake()
        native.attach(self._wake, 0)

    def fits(self) -> bool:
        """Whether it can be used here."""
        return asyncio._get_running_loop() is None

    async def wait(self) -> None:
        """Returns when there is something."""
        await sys.modules["trio"].lowlevel.wait_readable(self._wake.fileno())
        self._wake.take()


class InLoop:
    """Waits in an asyncio task."""

    __slots__ = ("_loop", "_tag")

    def __init__(self, native: _ssehub.EventSource) -> None:
        self._loop = _this_loop()
        self._tag = self._loop.attach(native)

    def fits(self) -> bool:
        """Whether it can be used here."""
        return asyncio._get_running_loop() is self._loop.loop

    async def wait(self) -> None:
        """Returns when there is something."""
        await self._loop.wait(self._tag)


class _Loop:
    """The sources of one asyncio loop. It lives as long as one of them refers to it."""

    __slots__ = ("__weakref__", "_reader", "_tags", "_waiting", "_wake", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._wake = _ssehub.Wake()
        self._tags = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[None]] = {}
        # Weak: the loop must not keep this alive.
        this = weakref.ref(self)
        self._reader: asyncio.Task[None] | None = None
        try:
            loop.add_reader(self._wake.fileno(), _pump, this)
        except NotImplementedError:
            self._reader = loop.create_task(_read(self._wake, this))

    def attach(self, native: _ssehub.EventSource) -> int:
        tag = next(self._tags)
        native.attach(self._wake, tag)
        return tag

    async def wait(self, tag: int) -> None:
        if tag in self._waiting:
            raise RuntimeError(
                "another task waits for this source's next event: give each task its own source"
            )
        self._waiting[tag] = self.loop.create_future()
        try:
            await self._waiting[tag]
        finally:
            del self._waiting[tag]

    def pump(self) -> None:
        for tag in self._wake.take():
            future = self._waiting.get(tag)
            if future is not None and not future.done():
                future.set_result(None)

    def __del__(self) -> None:
        # Nothing to undo where `__init__` has failed; a loop that is closed has let go.
        wake = getattr(self, "_wake", None)
        if wake is None or self.loop.is_closed():
            return
        if asyncio._get_running_loop() is self.loop:
            _let_go(self.loop, wake, self._reader)
        else:
            # By the garbage collector, in another thread or while the loop rests. It may be closed by now.
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(_let_go, self.loop, wake, self._reader)


_local = threading.local()


def _this_loop() -> _Loop:
    running = asyncio.get_running_loop()
    found: weakref.ref[_Loop] | None = getattr(_local, "loop", None)
    loop = None if found is None else found()
    if loop is None or loop.loop is not running:
        loop = _Loop(running)
        _local.loop = weakref.ref(loop)
    return loop


def _pump(this: weakref.ref[_Loop]) -> None:
    loop = this()
    if loop is not None:
        loop.pump()


async def _read(wake: Wake, this: weakref.ref[_Loop]) -> None:
    """For Windows' usual loop, which watches no descriptors but receives from sockets of Python's."""
    family = socket.AF_INET if sys.platform == "win32" else socket.AF_UNIX
    with socket.fromfd(wake.fileno(), family, socket.SOCK_STREAM) as watched:
        watched.setblocking(False)
        while await asyncio.get_running_loop().sock_recv(watched, 64):
            _pump(this)


def _let_go(loop: asyncio.AbstractEventLoop, wake: Wake, reader: asyncio.Task[None] | None) -> None:
    if reader is None:
        loop.remove_reader(wake.fileno())
    else:
        reader.cancel()
