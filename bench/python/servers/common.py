"""What all Python servers of the fan-out benchmarks have in common.

`POST /publish?n=&size=&pause_ms=` publishes n events of `size` bytes and answers how long each
call took, `GET /fast` is the trivial route, `POST /gc` collects garbage so that memory can be
compared. Every server gets the same JSON text, made once per event: no peer is charged for JSON.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Generic, TypeVar

EVENT = "tick"

T = TypeVar("T")

_sequence = count(1)


def payloads(n: int, size: int) -> Iterator[tuple[str, str]]:
    """The id and the data of each event: JSON with its number and the time of its publish."""
    for _ in range(n):
        seq = next(_sequence)
        yield str(seq), payload(seq, size)


def payload(seq: int, size: int) -> str:
    """The data of one event; a private message has the number 0."""
    head = f'{{"seq":{seq},"ts":{time.monotonic_ns()},"pad":"'
    return head + "x" * (size - len(head) - 2) + '"}'


def timed_calls(publish: Callable[[str, str], None], n: int, size: int) -> Iterator[int]:
    """Publishes n events; the nanoseconds that each call took."""
    for id, data in payloads(n, size):
        start = time.perf_counter_ns()
        publish(id, data)
        yield time.perf_counter_ns() - start


class QueuePerClient(Generic[T]):
    """The way that the peers' documentation shows: every client has a queue."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[T]] = set()

    def publish(self, item: T) -> None:
        """Put the item into every queue."""
        for queue in self._queues:
            queue.put_nowait(item)

    async def subscribe(self) -> AsyncIterator[T]:
        """What is published from now on."""
        queue: asyncio.Queue[T] = asyncio.Queue()
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)
