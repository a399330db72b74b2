"""What the hand-off tests run under real ASGI servers: one FastAPI application, in several wrappings."""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import gc
import logging
import os
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, NoReturn

from fastapi import Depends, FastAPI, Request
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ssehub import Event, History, Hub, StreamInfo
from ssehub.fastapi import EventSourceResponse

logging.basicConfig(level=logging.WARNING)
logging.getLogger("ssehub").setLevel(logging.INFO)

hub = Hub(
    retry=1000,
    history=History(count=int(os.environ.get("HISTORY_COUNT", 1000))),
    max_lag=int(os.environ.get("MAX_LAG", 1 << 20)),
)
app = FastAPI(lifespan=hub.lifespan)
# What the application has seen, for /seen.
seen: dict[str, Any] = {"opened": [], "closed": [], "own": [], "released": 0}


@hub.on_open
def on_open(info: StreamInfo) -> None:
    seen["opened"].append(info.mode)


@hub.on_close
def on_close(info: StreamInfo) -> None:
    loop = asyncio._get_running_loop() is not None
    seen["closed"].append([info.mode, info.reason, info.events, loop])


async def session() -> AsyncIterator[None]:
    """What a dependency would hold: a session of a database."""
    try:
        yield
    finally:
        seen["released"] += 1


@app.api_route("/events", methods=["GET", "POST"], dependencies=[Depends(session)])
async def events(request: Request) -> Response:
    query = request.query_params
    if "read" in query:
        await request.body()
    options: dict[str, Any] = {"handoff": query.get("handoff", "detach")}
    if "snapshot" in query:
        options["snapshot"] = lambda: Event("x" * int(query["snapshot"] or 5), event="snapshot")
    if "own" in query:
        options["on_close"] = lambda info: seen["own"].append(info.reason)
    if "heartbeat" in query:
        options["heartbeat"] = float(query["heartbeat"])
    return EventSourceResponse(hub.subscribe("t"), key=query.get("key"), **options)


@app.get("/")
async def index() -> Response:
    return PlainTextResponse("ok")


@app.post("/publish")
async def publish(request: Request) -> Response:
    return PlainTextResponse(hub.publish_wait("t", (await request.body()).decode()))


@app.post("/kick")
async def kick(key: str) -> int:
    return hub.disconnect(key=key, event=Event("bye"))


@app.post("/fork")
async def fork(stay: bool = False) -> Response:
    """A child that publishes, and ends as a script does, or stays for a while: a task queue's, for example."""
    child = os.fork()
    if not child:
        be_child(stay)
    return PlainTextResponse(str(child))


def be_child(stay: bool) -> NoReturn:
    code = 1
    try:
        # The loop is the parent's, and its connections with it.
        asyncio.events._set_running_loop(None)
        hub.publish("t", "from the child")
        hub.disconnect(topic="t")
        asyncio.run(hub.drain(timeout=5))
        assert hub.stats().connections == hub.stats().opened == 0
        gc.collect()
        if stay:
            time.sleep(60)
        atexit._run_exitfuncs()
        code = 0
    finally:
        os._exit(code)


@app.post("/reap")
def reap(child: int) -> Response:
    """The exit status of that child."""
    return PlainTextResponse(str(os.waitpid(child, 0)[1]))


@app.get("/stats")
async def stats() -> Response:
    return JSONResponse({**dataclasses.asdict(hub.stats()), "pid": os.getpid()})


@app.get("/seen")
async def what_was_seen() -> Response:
    gc.collect()
    names = ("Request", "SubscriptionStream", "EventSourceResponse", "Subscription", "Taking")
    kinds = [type(thing).__name__ for thing in gc.get_objects()]
    return JSONResponse(
        {
            **seen,
            "descriptors": len(os.listdir("/proc/self/fd")),
            "tasks": len(asyncio.all_tasks()),
            "objects": {name: kinds.count(name) for name in names},
        }
    )


# Wrappings.

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Pass(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-seen"] = response.headers.get("x-seen", "") + "1"
        return response


def changing(change: Callable[[], Callable[[Message], list[Message]]]) -> Callable[..., Any]:
    """A middleware made of a function from a message to the messages to be sent instead, for each request."""

    async def wrapped(scope: Message, receive: Any, send: Send) -> None:
        instead = change()

        async def changed(message: Message) -> None:
            for other in instead(message):
                await send(other)

        await app(scope, receive, changed if scope.get("path") == "/events" else send)

    return wrapped


def rewriting() -> Callable[[Message], list[Message]]:
    """Marks each piece of a body with a comment."""

    def change(message: Message) -> list[Message]:
        if message["type"] == "http.response.body" and message.get("body"):
            return [{**message, "body": b": seen\n" + message["body"]}]
        return [message]

    return change


def splitting() -> Callable[[Message], list[Message]]:
    """Sends the first line of each piece on its own."""

    def change(message: Message) -> list[Message]:
        if message["type"] == "http.response.body" and b"\n" in message.get("body", b""):
            line, end, rest = message["body"].partition(b"\n")
            return [
                {**message, "body": line + end, "more_body": True},
                {**message, "body": rest},
            ]
        return [message]

    return change


def compressing() -> Callable[[Message], list[Message]]:
    packer = zlib.compressobj(wbits=31)

    def change(message: Message) -> list[Message]:
        if message["type"] == "http.response.start":
            return [{**message, "headers": [*message["headers"], (b"content-encoding", b"gzip")]}]
        body = packer.compress(message.get("body", b""))
        end = zlib.Z_SYNC_FLUSH if message.get("more_body") else zlib.Z_FINISH
        return [{**message, "body": body + packer.flush(end)}]

    return change


def delaying() -> Callable[[Message], list[Message]]:
    """Is one piece behind, as who looks ahead is."""
    held: list[Message] = []

    def change(message: Message) -> list[Message]:
        if message["type"] == "http.response.body":
            held.append(message)
            return held[:-1] and [held.pop(0)] if message.get("more_body") else held
        return [message]

    return change


class Hiding:
    """Has `receive` and `send` where nobody looks: in objects of its own."""

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        await app(scope, _Hidden(receive).receive, _Hidden(send).send)


class _Hidden:
    def __init__(self, inner: Any) -> None:
        self._inner_ = inner

    async def receive(self) -> Any:
        return await self._inner_()

    async def send(self, message: Any) -> None:
        await self._inner_(message)


async def bare(scope: Message, receive: Any, send: Send) -> None:
    """Without the hub's lifespan."""
    if scope["type"] == "http":
        await app(scope, receive, send)
    else:
        raise RuntimeError("no lifespan here")


cors: Any = CORSMiddleware(app, allow_origins=["*"])
gzip: Any = GZipMiddleware(app, minimum_size=1)
base: Any = Pass(app)
base2: Any = Pass(Pass(app))
rewritten: Any = changing(rewriting)
split: Any = changing(splitting)
compressed: Any = changing(compressing)
delayed: Any = changing(delaying)
hidden: Any = Hiding()
