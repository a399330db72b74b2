"""Where an event loop meets the hub: one selector per loop, one wake-up per burst of events.

The hub calls `_wake` once, however many events and clients there are; `_pump` then hands every waiting stream what it
has to send. A stream that is being written is not touched: what is published meanwhile is its next delivery.

Streams that the engine writes are not here. Of their ends the loop hears in batches, so that callbacks run in it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from ssehub import _ssehub
from ssehub._ssehub import End, Gap, Selector
from ssehub.errors import SSEHubError

if TYPE_CHECKING:
    from ssehub._ssehub import Reports, Slot
    from ssehub.hub import Hub
    from ssehub.stats import StreamInfo

__all__ = ["Delivery", "LoopHost", "host_of", "running_loop"]

# `None` in the place of a delivery: somebody has interrupted the wait.
Delivery: TypeAlias = "bytes | Gap | End | None"
# Of a stream that the engine writes: what to call when it is over, and who waits for that.
_Listener: TypeAlias = "tuple[Callable[[StreamInfo], object] | None, asyncio.Future[bool] | None]"


class LoopHost:
    """The streams of one hub in one event loop. Belongs to the loop's thread, but for `_wake`."""

    __slots__ = (
        "__weakref__",
        "_counting",
        "_cutters",
        "_due",
        "_hub",
        "_listeners",
        "_parked",
        "_reports",
        "_tags",
        "_thread",
        "_timer",
        "_told",
        "_waiting",
        "handed_off",
        "loop",
        "selector",
    )

    def __init__(self, hub: Hub, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        # Weak: the hub has this.
        self._hub = weakref.ref(hub)
        # Streams that wait for something to send.
        self._waiting: dict[int, asyncio.Future[Delivery]] = {}
        # What came for a stream that was not waiting any more: a cancelled `get()` loses nothing.
        self._parked: dict[int, Delivery] = {}
        # How to end a stream whose client takes nothing.
        self._cutters: dict[int, Callable[[End], None]] = {}
        self._thread = threading.get_ident()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        # How many of the loop's streams are the engine's, and have not been reported to be over.
        self.handed_off = 0
        # Whoever tells of ends when the loop is closed, counts, too.
        self._counting = threading.Lock()
        # Whether the loop has been asked to look at the reports, and has not yet.
        self._told = False
        # Where the engine reports those: made for the first of them.
        self._reports: Reports | None = None
        # Who wants to hear of the end of one of them, by its tag. For all others there is nothing here.
        self._listeners: dict[int, _Listener] = {}
        self._tags = itertools.count(1)
        self.selector: Selector = Selector(hub, _calling(self, LoopHost._wake))

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
        self._rest()
        return info

    def _rest(self) -> None:
        """Without streams there is nothing to wake up for."""
        if not len(self.selector) and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def put_back(self, token: int, delivery: Delivery) -> None:
        """The next `take` gives it again."""
        self._parked[token] = delivery

    def hand_off(
        self,
        token: int,
        slot: Slot,
        descriptor: int,
        *,
        on_close: Callable[[StreamInfo], object] | None = None,
        held: asyncio.Future[bool] | None = None,
        **options: Any,
    ) -> int:
        """Moves a stream to the engine; `options` are those of the selector. OSError: nothing has happened.

        Args:
            token: The stream.
            slot: Where the engine's duplicate of the socket goes.
            descriptor: The server's descriptor.
            on_close: What is called when the stream is over, beside the hub's own callbacks.
            held: For a stream whose connection stays with the server. Its result, when the stream is over: whether the
                server can end the response.
            **options: See `Selector.hand_off`.

        Returns:
            The stream's tag, for `let_go`.
        """
        if self._reports is None:
            hub = self._hub()
            assert hub is not None
            self._reports = _ssehub.Reports(hub, _calling(self, LoopHost._wake_for_reports))
        tag = 0 if on_close is None and held is None else next(self._tags)
        self.selector.hand_off(
            token,
            slot,
            descriptor,
            hold=held is not None,
            reports=self._reports,
            tag=tag,
            **options,
        )
        self._cutters.pop(token, None)
        self._rest()
        with self._counting:
            self.handed_off += 1
        if tag:
            self._listeners[tag] = on_close, held
        return tag

    def is_reporting(self, *, exiting: bool = False) -> bool:
        """Whether the ends of streams have still to be told, and somebody will."""
        # In a loop that is neither running nor closed, nobody does, unless it is too late for it to run again.
        return self.handed_off > 0 and (self.loop.is_running() or self._has_ended(exiting))

    def _has_ended(self, exiting: bool) -> bool:
        return self.loop.is_closed() or (exiting and not self.loop.is_running())

    def catch_up(self, *, exiting: bool = False) -> None:
        """Tells of the ends that the loop would have told of, if it has been closed before; or if the process exits."""
        if self._has_ended(exiting):
            self._tell()

    def let_go(self, tag: int, reason: str) -> None:
        """Has the engine end a held stream. Its end is reported like any other."""
        if self._reports is not None:
            self._reports.remove(tag, reason)

    def _wake_for_reports(self) -> None:
        """Called by the engine, from a thread of its own that may run callbacks."""
        if self._told and not self.loop.is_closed():
            return
        self._told = True
        try:
            # A loop that is closed before it comes to this, drops it: see `catch_up`.
            self.loop.call_soon_threadsafe(self._report)
        except RuntimeError:
            # The loop is closed. Those who asked are told all the same.
            self._tell()

    def _report(self) -> None:
        # Lowered first: what comes from now on is another call's.
        self._told = False
        self._tell()

    def _tell(self) -> None:
        """Tells of all ends that there are. From several threads at once, each end is told by one of them."""
        hub = self._hub()
        if self._reports is None or hub is None:
            return
        for tag, path, info in self._reports.take():
            on_close, held = self._listeners.pop(tag, (None, None))
            clean = info.pop("clean")
            if held is not None and not held.done() and not self.loop.is_closed():
                held.set_result(clean)
            try:
                hub._closed(info, path, on_close)
            finally:
                # Last: whoever waits for zero, waits for the callbacks.
                with self._counting:
                    self.handed_off -= 1

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


def _calling(host: LoopHost, method: Callable[[LoopHost], None]) -> Callable[[], None]:
    """A method as a waker. Weak: whoever wakes must not keep the host, and with it the loop, alive."""
    this = weakref.ref(host)

    def wake() -> None:
        found = this()
        if found is not None:
            method(found)

    return wake


def running_loop() -> asyncio.AbstractEventLoop:
    """The running event loop. SSEHubError where there is none, as under trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise SSEHubError(
            "streams are served in an asyncio event loop, and none runs here: with hypercorn, choose `-k asyncio` or "
            "`-k uvloop`"
        ) from None


def host_of(hub: Hub) -> LoopHost:
    """A hub's streams in the running event loop."""
    loop = running_loop()
    with hub._hosts_lock:
        if hub._process != os.getpid():
            # A forked child: the parent's loops are not here. Their selectors belong to a hub that is not ours.
            hub._process = os.getpid()
            _forgotten.append(hub._hosts)
            hub._hosts = []
        for host in hub._hosts:
            if host.loop is loop:
                return host
        others = tuple(hub._hosts)
    # Not under the lock: it may call users' callbacks.
    for host in others:
        host.catch_up()
    with hub._hosts_lock:
        # The engine's streams outlive the loop that their requests came in.
        hub._hosts = [host for host in hub._hosts if host.handed_off or not host.loop.is_closed()]
        host = LoopHost(hub, loop)
        hub._hosts.append(host)
        return host


# Hosts of a parent process: kept, so that their destructors never run here.
_forgotten: list[object] = []
