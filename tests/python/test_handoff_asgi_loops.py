"""Event loops that end before the streams that came in them: whoever is left tells of the ends, each once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import sys
import threading
import weakref
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asgi_inside import serving
from http_stream import Wire
from processes import free_port, running, wait_for
from ssehub import Hub, SSEHubError
from ssehub.handoff.reports import settle
from ssehub.loops import LoopHost
from ssehub.shutdown import shutdown
from ssehub.starlette import EventSourceResponse
from support import SOON, eventually

T = TypeVar("T")


class Told:
    """A hub, and what is told of its streams' ends."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.ends: list[tuple[str, threading.Thread]] = []
        self.hub.on_close(lambda info: self.ends.append((info.reason, threading.current_thread())))

    async def streams(self, count: int) -> list[Wire]:
        """Streams that the engine has, and whose server has stopped."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await EventSourceResponse(self.hub.subscribe("t"))(scope, receive, send)

        before = self.hub.stats().connections
        async with serving(app) as address:
            wires = [await asyncio.to_thread(Wire, address, "/") for _ in range(count)]
            detached = before + count
            await eventually(lambda: self.hub.stats().connections_by_mode["detached"] == detached)
            return wires

    def wait(self, count: int) -> None:
        wait_for(lambda: len(self.ends) >= count, f"{count} ends")
        assert [reason for reason, _ in self.ends] == ["client"] * count

    @property
    def host(self) -> LoopHost:
        (host,) = self.hub._hosts
        return host


def run_half(coroutine: Coroutine[Any, Any, T]) -> tuple[asyncio.AbstractEventLoop, T]:
    """Runs it in a loop of its own, which stops then, and is not closed."""
    loop = asyncio.new_event_loop()
    return loop, loop.run_until_complete(coroutine)


def one_ends_between(told: Told, count: int = 1) -> list[Wire]:
    """The first stream ends when its loop has run for the last time, and is not closed yet. The others."""
    loop, (first, *others) = run_half(told.streams(count))
    first.close()
    wait_for(lambda: told.host._told, "the call that the loop drops")
    loop.close()
    return others


def test_streams_outlive_the_loop_that_they_came_in() -> None:
    """Nobody is left to run callbacks but the engine; and another loop can serve the same hub."""
    told = Told()
    (first,) = asyncio.run(told.streams(1))
    (second,) = asyncio.run(told.streams(1))
    told.hub.publish("t", "x")
    for wire in (first, second):
        assert wire.next().data == "x"
        wire.close()
    told.wait(2)
    assert all(thread is not threading.main_thread() for _, thread in told.ends)
    assert told.hub.stats().connections == 0


def test_a_loop_that_runs_again_tells_itself() -> None:
    told = Told()
    loop, (wire,) = run_half(told.streams(1))
    wire.close()
    wait_for(lambda: told.host._told, "the call")
    assert not told.ends
    loop.run_until_complete(eventually(lambda: told.ends))
    loop.close()
    told.wait(1)
    assert told.ends[0][1] is threading.main_thread()


def test_the_next_end_brings_those_that_were_dropped() -> None:
    told = Told()
    (other,) = one_ends_between(told, 2)
    assert not told.ends
    other.close()
    told.wait(2)
    assert told.host.handed_off == 0


def test_another_loop_brings_them() -> None:
    told = Told()
    one_ends_between(told)
    dropped = told.host
    asyncio.run(_stream_in_loop(told.hub))
    assert told.ends[0] == ("client", threading.main_thread())
    assert dropped not in told.hub._hosts


async def _stream_in_loop(hub: Hub) -> None:
    hub._host()


def test_a_drain_brings_them() -> None:
    told = Told()
    one_ends_between(told)
    assert asyncio.run(told.hub.drain())
    told.wait(1)


def test_whoever_waits_for_the_exit_brings_them() -> None:
    told = Told()
    (other,) = one_ends_between(told, 2)
    # Several may wait; each end is still told once.
    waiters = [threading.Thread(target=settle, args=([told.hub], SOON)) for _ in range(4)]
    for waiter in waiters:
        waiter.start()
    other.close()
    for waiter in waiters:
        waiter.join()
    told.wait(2)
    assert told.host.handed_off == 0


def test_each_end_is_told_once_whoever_tells_it() -> None:
    told = Told()
    loop, wires = run_half(told.streams(30))
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            told.hub._has_streams()

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    for n, wire in enumerate(wires):
        if n == 10:
            loop.close()
        wire.close()
    wait_for(lambda: told.host.handed_off == 0, "all ends")
    stop.set()
    for looker in lookers:
        looker.join()
    told.wait(30)


SCRIPT = """
import asyncio, sys
sys.path.insert(0, {folder!r})
from test_handoff_asgi_loops import Told, one_ends_between, run_half, wait_for

told = Told()
told.hub.on_close(lambda info: print("told", info.reason, flush=True))
{body}
"""


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        ("one_ends_between(told)", ["client"]),
        ("wires = one_ends_between(told, 2)", ["client", "drain"]),
        # Never closed at all.
        ("loop, wires = run_half(told.streams(1))", ["drain"]),
    ],
    ids=["closed", "closed-another-open", "stopped"],
)
def test_the_process_exits(body: str, ends: list[str]) -> None:
    script = SCRIPT.format(folder=str(Path(__file__).parent), body=body)
    with running([sys.executable, "-c", script]) as child:
        child.process.wait(60)
        said = [line.split()[1] for line in child.output().splitlines() if line.startswith("told ")]
        assert sorted(said) == ends, child.output()


def test_the_exit_does_not_wait_for_what_is_told() -> None:
    """Nothing is left to be told: `settle` returns at once, and not at its deadline, which is never here."""
    told = Told()
    one_ends_between(told)
    waiter = threading.Thread(target=settle, args=([told.hub], 10**6), daemon=True)
    waiter.start()
    waiter.join(SOON * 3)
    assert not waiter.is_alive()


def test_another_kind_of_loop() -> None:
    hub = Hub()

    async def enter() -> None:
        async with hub.lifespan():
            pass

    async def stream() -> None:
        scope = {"type": "http", "method": "GET", "headers": [], "path": "/"}
        await EventSourceResponse(hub.subscribe("t"))(scope, None, None)  # type: ignore[arg-type]

    for function in (enter, stream):
        with pytest.raises(SSEHubError, match="-k asyncio"):
            trio.run(function)


async def through(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


async def until_the_end(hub: Hub, handoff: Any) -> bytes:
    """What a client gets from a hypercorn within this loop, which ends with the client's stream open."""

    async def events(request: Request) -> Response:
        return EventSourceResponse(hub.subscribe("t"), handoff=handoff)

    app = Starlette(routes=[Route("/", events)], lifespan=hub.lifespan)
    for _ in range(2):
        app.add_middleware(BaseHTTPMiddleware, dispatch=through)
    stop, config = asyncio.Event(), Config()
    port = free_port()
    config.bind = [f"127.0.0.1:{port}"]
    config.errorlog = None
    server = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
    wire = await asyncio.to_thread(wait_for, lambda: connected(port), "the server")
    mode = {"detach": "detached", "hold": "held", "off": "in-loop"}[handoff]
    await eventually(lambda: hub.stats().connections_by_mode[mode] == 1)
    stop.set()
    assert await asyncio.to_thread(wire.wait_end)
    await asyncio.wait_for(server, SOON)
    wire.close()
    return bytes(wire.body)


def connected(port: int) -> Wire | None:
    try:
        return Wire(("127.0.0.1", port), "/")
    except ConnectionRefusedError:
        return None


@pytest.mark.parametrize("handoff", ["detach", "hold", "off"])
def test_a_server_that_tells_of_its_end_by_an_event(handoff: str) -> None:
    """Streams end first, and what waited for the event is gone with the loop."""
    hub = Hub()
    loop = asyncio.new_event_loop()
    with contextlib.closing(loop):
        for _ in range(2):
            body = loop.run_until_complete(until_the_end(hub, handoff))
            assert re.search(rb"retry: \d+\n\n$", body), body
        loop.run_until_complete(asyncio.sleep(0))
    assert not shutdown._ends
    gone = weakref.ref(loop)
    del hub, loop
    gc.collect()
    assert gone() is None
