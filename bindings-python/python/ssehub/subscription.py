"""`Subscription`: a position over some topics, given to a response or iterated in code."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from ssehub import _ssehub
from ssehub._ssehub import End, Event, Gap, Parser
from ssehub.errors import ClosedError, LaggedError
from ssehub.loops import LoopHost

if TYPE_CHECKING:
    from ssehub.hub import Hub

__all__ = ["Subscription"]


class Subscription:
    """A reader's position over one or more topics. Made by `hub.subscribe(...)`.

    Give it to an `EventSourceResponse`, or iterate it: `async for event in subscription` in a coroutine,
    `for event in subscription` in a thread, `subscription.get(timeout=1)` for one event. Until then it holds nothing:
    it may be dropped. The position is that of the call to `subscribe`, so nothing published since is missed.

    An iteration ends when the hub is closed, and raises LaggedError when it was too slow. Gap events
    (`event.event == "ssehub:gap"`) are part of it.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_hub",
        "_last_event_id",
        "_native",
        "_reader",
        "_topics",
        "resumes",
    )

    def __init__(
        self, hub: Hub, native: _ssehub.Subscription, topics: tuple[str, ...], resumes: bool
    ) -> None:
        self._hub = hub
        self._native = native
        self._topics = topics
        # Whether it starts after an event that the code has named.
        self.resumes = resumes
        self._reader: _SyncReader | _AsyncReader | None = None
        self._closed = False
        self._last_event_id = native.position

    @property
    def hub(self) -> Hub:
        """The hub that is read."""
        return self._hub

    @property
    def topics(self) -> tuple[str, ...]:
        """The names and patterns that are read."""
        return self._topics

    @property
    def last_event_id(self) -> str:
        """The id of the last event that was read here; before that, of the position it starts from."""
        return self._last_event_id

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = None if self._closed else self._sync_reader().next(None)
        if event is None:
            raise StopIteration
        return self._seen(event)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        event = None if self._closed else await self._async_reader().next()
        if event is None:
            raise StopAsyncIteration
        return self._seen(event)

    def get(self, timeout: float | None = None) -> Event:
        """The next event, waited for in this thread.

        Args:
            timeout: Seconds to wait at most; None waits as long as it takes.

        Raises:
            TimeoutError: when none came in time; nothing is lost, and the next call goes on.
            ClosedError: when the subscription or the hub is closed.
            LaggedError: when the subscription was read too slowly.
        """
        if not self._closed:
            reader = self._sync_reader()
            event = reader.next(timeout)
            if event is not None:
                return self._seen(event)
            if not reader.ended:
                raise TimeoutError(f"no event within {timeout} s")
        raise ClosedError("the subscription has ended: it or its hub was closed")

    def close(self) -> None:
        """Ends the iteration, from any thread, and frees what it holds. Also done when the object is dropped."""
        self._closed = True
        if self._reader is not None:
            self._reader.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is not None:
            reader.close()

    def __repr__(self) -> str:
        return f"<Subscription {', '.join(self._topics)} after {self._last_event_id}>"

    def _seen(self, event: Event) -> Event:
        if event.id:
            self._last_event_id = event.id
        return event

    def _sync_reader(self) -> _SyncReader:
        if asyncio._get_running_loop() is not None:
            raise RuntimeError(
                "this thread runs an event loop, which a blocking read would stop: use `async for`"
            )
        reader = self._reader
        if reader is None:
            reader = self._reader = _SyncReader(self._hub, self._native)
        if isinstance(reader, _AsyncReader):
            raise RuntimeError("this subscription is already iterated with `async for`")
        return reader

    def _async_reader(self) -> _AsyncReader:
        reader = self._reader
        if reader is None:
            reader = self._reader = _AsyncReader(self._hub._host(), self._native)
        if isinstance(reader, _SyncReader):
            raise RuntimeError("this subscription is already iterated with `for`")
        return reader


class _Events:
    """Deliveries as events: the frames of a hub, parsed as a client would."""

    def __init__(self) -> None:
        self.ended = False
        self._parser = Parser(max_event_size=1 << 40)
        self._events: deque[Event] = deque()

    def close(self) -> None:
        """Frees what the reader holds."""
        self.ended = True

    def take(self) -> Event | None:
        return self._events.popleft() if self._events else None

    def feed(self, delivery: bytes | Gap | End) -> None:
        if isinstance(delivery, End):
            self.close()
            if delivery.reason == "slow":
                raise LaggedError(
                    "the subscription was read too slowly and has been ended; to resume, subscribe again with "
                    "last_event_id=subscription.last_event_id, or raise max_lag, or choose slow='skip'"
                )
            return
        self._events.extend(
            self._parser.feed(delivery.frame if isinstance(delivery, Gap) else delivery)
        )


class _SyncReader(_Events):
    """One blocking reader.

    It waits on a `threading.Event`: Ctrl-C gets through, and under gevent's monkey-patching the wait is cooperative.
    """

    def __init__(self, hub: Hub, subscription: _ssehub.Subscription) -> None:
        super().__init__()
        self._signal = threading.Event()
        self._selector = _ssehub.Selector(hub, self._signal.set)
        self._token = self._selector.add(subscription)

    def next(self, timeout: float | None) -> Event | None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            event = self.take()
            if event is not None or self.ended:
                return event
            # Lowered before looking: a signal between the look and the wait is not lost.
            self._signal.clear()
            ready, _ = self._selector.select()
            delivery = ready[0][1] if ready else self._selector.poll(self._token)
            if delivery is not None:
                self.feed(delivery)
                continue
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            self._signal.wait(left)

    def close(self) -> None:
        super().close()
        self._selector.remove(self._token, "client")
        # Whoever waits in another thread finds that there is no more to come.
        self._signal.set()


class _AsyncReader(_Events):
    """One reader in an event loop."""

    def __init__(self, host: LoopHost, subscription: _ssehub.Subscription) -> None:
        super().__init__()
        self._host = host
        self._token = host.add(subscription)
        self._waiting = False

    async def next(self) -> Event | None:
        host = self._host
        while True:
            event = self.take()
            if event is not None or self.ended:
                return event
            if asyncio.get_running_loop() is not host.loop:
                raise RuntimeError(
                    "this subscription is read in another event loop: subscribe in the loop that reads"
                )
            if self._waiting:
                raise RuntimeError(
                    "another task waits for this subscription's next event: give each task its own"
                )
            delivery = host.take(self._token)
            if delivery is None:
                future = host.wait(self._token)
                self._waiting = True
                try:
                    delivery = await future
                except asyncio.CancelledError:
                    host.give_up(self._token, future)
                    raise
                finally:
                    self._waiting = False
            if delivery is not None:
                self.feed(delivery)

    def close(self) -> None:
        super().close()
        loop = self._host.loop
        if loop.is_running() and asyncio._get_running_loop() is not loop:
            # Closed in another thread, or dropped by the garbage collector there.
            loop.call_soon_threadsafe(self._free)
        else:
            self._free()

    def _free(self) -> None:
        self._host.interrupt(self._token)
        self._host.remove(self._token, "client")
