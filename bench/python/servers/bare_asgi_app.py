"""The floor under ASGI: no framework, frames encoded once, a queue per client, nothing else."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from common import EVENT, QueuePerClient, timed_calls

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

STREAM_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
clients: QueuePerClient[bytes] = QueuePerClient()


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["path"] == "/events":
        await events(receive, send)
    elif scope["path"] == "/publish":
        query = parse_qs(scope["query_string"].decode())
        calls = list(timed_calls(publish, int(query["n"][0]), int(query["size"][0])))
        await answer(send, 200, json.dumps({"calls": calls}).encode())
    elif scope["path"] == "/gc":
        gc.collect()
        await answer(send, 204, b"")
    else:
        await answer(send, 200, b"ok")


def publish(id: str, data: str) -> None:
    clients.publish(f"id: {id}\nevent: {EVENT}\ndata: {data}\n\n".encode())


async def lifespan(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


async def events(receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
    await send({"type": "http.response.body", "body": b": hi\n\n", "more_body": True})
    writer = asyncio.create_task(write(send))
    while (await receive())["type"] != "http.disconnect":
        pass
    writer.cancel()


async def write(send: Send) -> None:
    async for frame in clients.subscribe():
        await send({"type": "http.response.body", "body": frame, "more_body": True})


async def answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())] if body else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
