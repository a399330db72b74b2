"""Where an event loop meets the hub: one selector per loop, one wake-up per burst of events.

The hub calls `_wake` once, however many events and clients there are; `_pump` then hands every waiting stream what it
has to send. A stream that is being written is not touched: what is published meanwhile is its next delivery.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

from ssehub import _ssehub
from ssehub._ssehub import End, Gap, Selector

__all__ = ["Delivery", "LoopHost"]

# `None` in the place of a delivery: somebody has interrupted the wait.
Delivery: TypeAlias = "bytes | Gap | End | None"


class LoopHost:
    """The streams of one hub in one event loop. Belongs to the loop's thread, but for `_wake`."""

    __slots__ = (
        "__weakref__",
        "_cutters",
        "_due",
        "_parked",
        "_thread",
        "_timer",
        "_waiting",
        "loop",
        "selector",
    )

    def __init__(self, hub: _ssehub.Hub, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        # Streams that wait for something to send.
        self._waiting: dict[int, asyncio.Future[Delivery]] = {}
        # What came for a stream that was not waiting any more: a cancelled `get()` loses nothing.
        self._parked: dict[int, Delivery] = {}
        # How to end a stream whose client takes nothing.
        self._cutters: dict[int, Callable[[End], None]] = {}
        self._thread = threading.get_ident()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        # Weak: the selector must not keep its host, and with it the loop, alive.
        this = weakref.ref(self)

        def wake() -> None:
            host = this()
            if host is not None:
                host._wake()

        self.selector: Selector = Selector(hub, wake)

    def add(
        self, subscription: Any, cut: Callable[[End], None] | None = None, **options: Any
    ) -> int:
        """Starts a stream; `options` are those of the selector."""
        token = self.selector.add(subscription, **options)
        if cut is not None:
            self._cutters[token] = cut
        return token

    def take(self, token: int) -> Delivery:
        """What a stream has to send now; None: nothing, so `wait` for it."""
        if self._parked and token in self._parked:
            return self._parked.pop(token)
        return self.selector.poll(token)

    def wait(self, token: int) -> asyncio.Future[Delivery]:
        """What a stream has to send next. To be awaited by the task that took last."""
        future = self.loop.create_future()
        self._waiting[token] = future
        return future

    def give_up(self, token: int, future: asyncio.Future[Delivery]) -> None:
        """The wait was cancelled: what has come meanwhile is for the next `take`."""
        if self._waiting.get(token) is future:
            del self._waiting[token]
        elif future.done() and not future.cancelled():
            self._parked[token] = future.result()

    def interrupt(self, token: int) -> bool:
        """Ends the wait of a stream with None. False where it is not waiting."""
        future = self._waiting.pop(token, None)
        if future is None or future.done():
            return False
        future.set_result(None)
        return True

    def remove(self, token: int, reason: str) -> dict[str, Any] | None:
        """Ends a stream and frees what it holds. What is known of it, the first time."""
        self._waiting.pop(token, None)
        self._parked.pop(token, None)
        self._cutters.pop(token, None)
        info = self.selector.remove(token, reason)
        if not len(self.selector) and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return info

    def _wake(self) -> None:
        """Called by the hub, from any thread: for events, and for whatever is due sooner than the timer."""
        try:
            if threading.get_ident() == self._thread and asyncio._get_running_loop() is self.loop:
                self.loop.call_soon(self._pump)
            else:
                self.loop.call_soon_threadsafe(self._pump)
        except RuntimeError:
            # The loop is closed; its streams are gone with it.
            pass

    def _pump(self) -> None:
        ready, delay = self.selector.select()
        waiting = self._waiting
        for token, delivery in ready:
            future = waiting.pop(token, None)
            if future is not None and not future.done():
                future.set_result(delivery)
            elif isinstance(delivery, End) and not delivery.clean:
                cut = self._cutters.get(token)
                if cut is not None:
                    cut(delivery)
            else:
                self._parked[token] = delivery
        if delay is not None:
            self._arm(delay)

    def _arm(self, delay: float) -> None:
        """Sees to it that `_pump` runs in so many seconds, or earlier."""
        due = self.loop.time() + delay
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self.loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if len(self.selector):
            self._pump()
