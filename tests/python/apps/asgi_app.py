"""What the server tests run: `app` has the hub's lifespan, `bare` has none."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ssehub import History, Hub
from ssehub.starlette import EventSourceResponse

hub = Hub(
    retry=1000,
    max_lag=int(os.environ.get("MAX_LAG", 1 << 20)),
    history=History(count=100_000, bytes=int(os.environ.get("HISTORY_BYTES", 1 << 20))),
)
sources = {"open": 0, "ended": 0}
# How many streams have been served in which mode.
modes: Counter[str] = Counter()
hub.on_open(lambda info: modes.update([info.mode]))


async def events(request: Request) -> Response:
    handoff: Any = request.query_params.get("handoff", "detach")
    key = request.query_params.get("key")
    return EventSourceResponse(hub.subscribe("t"), key=key, handoff=handoff)


async def chat(request: Request) -> Response:
    async def tokens() -> AsyncIterator[str]:
        sources["open"] += 1
        try:
            yield "hello"
            if "fail" in request.query_params:
                raise ZeroDivisionError("secret")
            if "end" not in request.query_params:
                await asyncio.Event().wait()
        finally:
            sources["ended"] += 1

    return EventSourceResponse(tokens())


async def publish(request: Request) -> Response:
    return Response(hub.publish_wait("t", (await request.body()).decode()))


async def stats(request: Request) -> Response:
    more = {"sources": sources, "modes": modes, "pid": os.getpid()}
    return JSONResponse({**dataclasses.asdict(hub.stats()), **more})


async def load(request: Request) -> Response:
    """Publishes count events of so many bytes, as fast as so many clients take them."""
    query = request.query_params
    count, size, clients = int(query["count"]), int(query["size"]), int(query["clients"])
    asyncio.get_running_loop().create_task(_load(count, size, clients))
    return Response("begun")


async def _load(count: int, size: int, clients: int) -> None:
    begin = hub.stats().delivered
    for n in range(count):
        hub.publish("t", f"{n} ".ljust(size, "x"))
        if n % 20 == 0:
            await asyncio.sleep(0)
            while hub.stats().delivered - begin < (n - 200) * clients:  # noqa: ASYNC110 - nothing to await
                await asyncio.sleep(0.005)


routes = [
    Route("/", lambda request: Response("ok")),
    Route("/events", events),
    Route("/chat", chat, methods=["GET", "POST"]),
    Route("/publish", publish, methods=["POST"]),
    Route("/stats", stats),
    Route("/load", load, methods=["POST"]),
]
app: Any = Starlette(routes=routes, lifespan=hub.lifespan)
bare: Any = Starlette(routes=routes)
