"""`python client.py <peer>`: one Python client as a worker, from the socket to the event's data.

Each peer reads a URL the way its documentation shows.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
import zlib
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from typing import Any

from worker import serve

Sync = Callable[[str], AbstractContextManager[Iterable[Any]]]
Async = Callable[[str], AbstractAsyncContextManager[AsyncIterable[Any]]]


def ssehub_sync() -> Sync:
    from ssehub import EventSource

    return lambda url: EventSource(url, reconnect=False)


def ssehub_async() -> Async:
    from ssehub import EventSource

    return lambda url: EventSource(url, reconnect=False)


def httpx_sse_sync() -> Sync:
    import httpx
    from httpx_sse import connect_sse

    @contextmanager
    def read(url: str) -> Any:
        with httpx.Client(timeout=None) as client, connect_sse(client, "GET", url) as source:
            yield source.iter_sse()

    return read


def httpx_sse_async() -> Async:
    import httpx
    from httpx_sse import aconnect_sse

    @asynccontextmanager
    async def read(url: str) -> Any:
        # One client for many streams, as is usual; without limits of its own.
        async with aconnect_sse(shared(), "GET", url) as source:
            yield source.aiter_sse()

    clients: list[httpx.AsyncClient] = []

    def shared() -> httpx.AsyncClient:
        if not clients:
            limits = httpx.Limits(max_connections=None)
            clients.append(httpx.AsyncClient(timeout=None, limits=limits))
        return clients[0]

    return read


def requests_sseclient() -> Sync:
    import requests
    import sseclient

    @contextmanager
    def read(url: str) -> Any:
        with requests.get(url, stream=True, headers={"Accept": "text/event-stream"}) as response:
            yield sseclient.SSEClient(response).events()

    return read


def aiohttp_lines() -> Async:
    """Aiohttp has no client of event streams: the loop that everybody writes."""
    import aiohttp

    class Event:
        __slots__ = ("data", "event", "id")

        def __init__(self, event: str, data: str, id: str) -> None:
            self.event, self.data, self.id = event, data, id

    async def events(response: aiohttp.ClientResponse) -> Any:
        event, data, id = "message", [], ""
        async for line in response.content:
            text = line.decode().rstrip("\r\n")
            if not text:
                if data:
                    yield Event(event, "\n".join(data), id)
                event, data = "message", []
            elif text.startswith("data:"):
                data.append(text[5:].removeprefix(" "))
            elif text.startswith("event:"):
                event = text[6:].removeprefix(" ")
            elif text.startswith("id:"):
                id = text[3:].removeprefix(" ")

    @asynccontextmanager
    async def read(url: str) -> Any:
        async with shared().get(url, timeout=aiohttp.ClientTimeout(total=None)) as response:
            yield events(response)

    sessions: list[aiohttp.ClientSession] = []

    def shared() -> aiohttp.ClientSession:
        if not sessions:
            sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        return sessions[0]

    return read


SYNC: dict[str, tuple[str, Callable[[], Sync]]] = {
    "ssehub EventSource": ("ssehub", ssehub_sync),
    "httpx-sse": ("httpx-sse", httpx_sse_sync),
    "sseclient-py over requests": ("sseclient-py", requests_sseclient),
}
ASYNC: dict[str, tuple[str, Callable[[], Async]]] = {
    "ssehub EventSource async": ("ssehub", ssehub_async),
    "httpx-sse async": ("httpx-sse", httpx_sse_async),
    "aiohttp": ("aiohttp", aiohttp_lines),
}


class Digest:
    """What was read, to compare with what the corpus holds; or only how much, when it is timed."""

    def __init__(self, check: bool) -> None:
        self.events = self.crc = 0
        self._check = check

    def take(self, events: Iterable[Any]) -> None:
        if not self._check:
            for event in events:
                event.data  # noqa: B018 - what a program does at the least
                self.events += 1
            return
        for event in events:
            self.events += 1
            self.crc = zlib.crc32(event.data.encode(), self.crc)

    async def atake(self, events: AsyncIterable[Any]) -> None:
        if not self._check:
            async for event in events:
                event.data  # noqa: B018
                self.events += 1
            return
        async for event in events:
            self.events += 1
            self.crc = zlib.crc32(event.data.encode(), self.crc)


def whole(digest: Digest, url: str, read: Sync) -> None:
    with read(url) as events:
        digest.take(events)


async def awhole(digest: Digest, url: str, read: Async) -> None:
    async with read(url) as events:
        await digest.atake(events)


def measured(once: Callable[[Digest], None], request: dict[str, Any]) -> dict[str, Any]:
    """A whole stream: what is in it, or what it takes to read it."""
    if "min_seconds" not in request:
        digest = Digest(check=True)
        once(digest)
        return {"events": digest.events, "crc": digest.crc}
    events = 0
    begin, cpu = time.perf_counter(), time.process_time()
    while True:
        digest = Digest(check=False)
        once(digest)
        events += digest.events
        elapsed = time.perf_counter() - begin
        if elapsed >= request["min_seconds"]:
            break
    return {"seconds": elapsed / events, "cpu": (time.process_time() - cpu) / events}


def anonymous_memory() -> int:
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon: many streams are measured on Linux")


async def many(read: Async, request: dict[str, Any]) -> dict[str, Any]:
    """Many streams at the same time, an event for each of them again and again."""
    clients, rounds = request["clients"], request["rounds"]
    before = anonymous_memory()
    descriptors = len(os.listdir("/proc/self/fd"))
    opened, served = asyncio.Semaphore(0), asyncio.Semaphore(0)
    go = asyncio.Event()

    async def one() -> None:
        async with read(request["url"]) as events:
            iterator = aiter(events)
            await anext(iterator)
            opened.release()
            for _ in range(rounds):
                (await anext(iterator)).data  # noqa: B018
            served.release()
            await go.wait()

    tasks = [asyncio.create_task(one()) for _ in range(clients)]
    cpu = time.process_time()
    for _ in tasks:
        await opened.acquire()
    opening = time.process_time() - cpu
    memory = anonymous_memory() - before
    taken = len(os.listdir("/proc/self/fd")) - descriptors
    cpu = time.process_time()
    for _ in tasks:
        await served.acquire()
    cpu = time.process_time() - cpu
    go.set()
    await asyncio.gather(*tasks)
    return {
        "opening": opening / clients,
        "cpu": cpu / clients / rounds,
        "memory": memory / clients,
        "descriptors": taken / clients,
    }


def main() -> None:
    name = sys.argv[1]
    if name in SYNC:
        distribution, load_sync = SYNC[name]
        read = load_sync()
        serve(
            distribution,
            lambda request: measured(lambda digest: whole(digest, request["url"], read), request),
        )
        return
    distribution, load = ASYNC[name]
    aread = load()
    loop = asyncio.new_event_loop()

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if "clients" in request:
            return loop.run_until_complete(many(aread, request))
        return measured(
            lambda digest: loop.run_until_complete(awhole(digest, request["url"], aread)), request
        )

    serve(distribution, answer)


if __name__ == "__main__":
    main()
