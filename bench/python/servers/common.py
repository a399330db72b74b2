"""What all Python servers of the fan-out benchmark have in common.

`POST /publish?n=&size=` publishes n events of `size` bytes and answers at once, `GET /fast` is
the trivial route, `POST /gc` collects garbage so that memory can be compared. Every server gets
the same JSON text, made once per event: no peer is charged for JSON.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Generic, TypeVar

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse

EVENT = "tick"

T = TypeVar("T")

_sequence = count(1)


def payloads(n: int, size: int) -> Iterator[tuple[str, str]]:
    """The id and the data of each event: JSON with its number and the time of its publish."""
    for _ in range(n):
        seq = next(_sequence)
        head = f'{{"seq":{seq},"ts":{time.monotonic_ns()},"pad":"'
        yield str(seq), head + "x" * (size - len(head) - 2) + '"}'


def add_routes(app: FastAPI, publish: Callable[[str, str], None]) -> None:
    """The routes beside `/events`; `publish` takes an id and a text."""

    @app.post("/publish", status_code=204)
    async def publish_events(n: int, size: int) -> None:
        for id, data in payloads(n, size):
            publish(id, data)

    @app.get("/fast")
    async def fast() -> Response:
        return PlainTextResponse("ok")

    @app.post("/gc", status_code=204)
    async def collect() -> None:
        gc.collect()


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
