"""The driver's own server: streams that behaviours script, and addresses for a service's callbacks."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

SOON = 5.0
"""Seconds in which everything happens, unless it is waited for in vain."""


@dataclass(frozen=True)
class Request:
    """One request; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Exchange:
    """A request, and the response that is being written."""

    def __init__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self._writer = writer
        self._over = asyncio.Event()

    def answer(self, status: int, headers: dict[str, str] | None = None) -> None:
        """A response without a body."""
        self._head(status, {**(headers or {}), "Content-Length": "0"})
        self._over.set()

    def open(self) -> None:
        """The head of a stream."""
        self._head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})

    async def send(self, text: str | bytes) -> None:
        """A piece of the stream, as a chunk of its own, that is on its way before the next."""
        data = text.encode() if isinstance(text, str) else text
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self._writer.drain()
        await asyncio.sleep(0.005)

    async def send_in_pieces(self, text: str, size: int, pause: float) -> None:
        """The bytes of a text, so many at a time."""
        data = text.encode()
        for start in range(0, len(data), size):
            await self.send(data[start : start + size])
            await asyncio.sleep(pause)

    def end(self) -> None:
        """The end of the stream, in an orderly way."""
        self._writer.write(b"0\r\n\r\n")
        self._over.set()

    async def over(self) -> None:
        """Waits until there is nothing more to be written."""
        await self._over.wait()

    def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))


Handler = Callable[[Exchange, str], Awaitable[None]]


class Endpoint:
    """An address of the server, and what happens to requests for it."""

    def __init__(self, url: str, handle: Handler) -> None:
        self.url = url
        self.handle = handle


T = TypeVar("T", bound=Endpoint)


class Streams(Endpoint):
    """An address at which each request gets a stream."""

    def __init__(self, url: str) -> None:
        super().__init__(url, self._serve)
        self._opened: asyncio.Queue[Exchange] = asyncio.Queue()

    async def _serve(self, exchange: Exchange, _: str) -> None:
        exchange.open()
        self._opened.put_nowait(exchange)
        await exchange.over()

    async def connection(self) -> Exchange:
        """The next request's stream."""
        return await asyncio.wait_for(self._opened.get(), SOON)


class Answers(Endpoint):
    """An address at which each request gets the same answer, without a body."""

    def __init__(self, url: str, status: int, headers: dict[str, str]) -> None:
        super().__init__(url, self._serve)
        self.requests: list[Request] = []
        self._status, self._headers = status, headers

    async def _serve(self, exchange: Exchange, _: str) -> None:
        self.requests.append(exchange.request)
        exchange.answer(self._status, self._headers)


class Callbacks(Endpoint):
    """Where a service tells what its client sees. Messages are numbered, and may come in any order."""

    def __init__(self, url: str) -> None:
        super().__init__(url, self._serve)
        self._early: dict[int, dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self._next = next(self._numbers)
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def _serve(self, exchange: Exchange, rest: str) -> None:
        self._early[int(rest)] = json.loads(exchange.request.body)
        exchange.answer(202)
        while self._next in self._early:
            self._messages.put_nowait(self._early.pop(self._next))
            self._next = next(self._numbers)

    async def message(self) -> dict[str, Any]:
        """The next message."""
        return await asyncio.wait_for(self._messages.get(), SOON)


class Server:
    """All endpoints of a run, at one port."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._endpoints: dict[str, Endpoint] = {}
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._exchanges: dict[Exchange, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._connected, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        # Those whose clients have left.
        for exchange in self._exchanges:
            exchange.end()
        await asyncio.gather(*self._exchanges.values())

    def streams(self) -> Streams:
        """A new address for streams."""
        return self._add(Streams(self._url()))

    def answers(self, status: int, **headers: str) -> Answers:
        """A new address with a fixed answer."""
        return self._add(Answers(self._url(), status, headers))

    def callbacks(self) -> Callbacks:
        """A new address for callbacks."""
        return self._add(Callbacks(self._url()))

    def _url(self) -> str:
        return f"http://{self._host}:{self._port}/endpoints/{next(self._numbers)}"

    def _add(self, endpoint: T) -> T:
        self._endpoints[endpoint.url.rpartition("/")[2]] = endpoint
        return endpoint

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection carries one request."""
        # The other end may leave, which is its good right.
        with suppress(ConnectionError, asyncio.IncompleteReadError), closing(writer):
            exchange = Exchange(await _request(reader), writer)
            task = asyncio.create_task(self._handle(exchange))
            self._exchanges[exchange] = task
            try:
                await task
                await writer.drain()
            finally:
                del self._exchanges[exchange]

    async def _handle(self, exchange: Exchange) -> None:
        # /endpoints/{number} and, for callbacks, /{message}
        _, _, number, *rest = exchange.request.path.split("/")
        endpoint = self._endpoints.get(number)
        if endpoint is None:
            exchange.answer(404)
        else:
            await endpoint.handle(exchange, "/".join(rest))


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = await _chunked(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body
