"""Iterables as responses whose client leaves, or whose server ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asgi_call import Call
from ssehub.http import ERROR_EVENT
from ssehub.starlette import EventSourceResponse
from support import SOON, eventually


@pytest.mark.parametrize("silent", [False, True])
async def test_a_client_that_leaves_cancels_a_waiting_source(silent: bool) -> None:
    ended: list[str] = []

    async def source() -> AsyncIterator[str]:
        try:
            if not silent:
                yield "a"
            await asyncio.Event().wait()
            yield "never"
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        finally:
            ended.append("finally")

    call = Call(EventSourceResponse(source()))
    await asyncio.sleep(0.05)
    await call.leave(within=1)
    assert ended == ["cancelled", "finally"]


async def test_a_source_that_cleans_up_asynchronously() -> None:
    ended: list[str] = []

    async def source() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.append("finally")

    call = Call(EventSourceResponse(source()))
    await call.has("a")
    await call.leave(within=1)
    assert ended == ["finally"]


async def test_a_source_that_is_suspended_in_a_yield_is_closed() -> None:
    ended = []

    async def source() -> AsyncIterator[str]:
        try:
            while True:
                yield "x" * 1000
        finally:
            ended.append(1)

    async def stuck(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    call = Call(EventSourceResponse(source()), send=stuck)  # type: ignore[arg-type]
    await asyncio.sleep(0.02)
    await call.leave(within=1)
    assert ended == [1]


async def test_a_sync_source_ends_at_its_next_step_when_the_client_has_left() -> None:
    ended, gate = threading.Event(), threading.Event()

    def source() -> Iterator[str]:
        try:
            yield "a"
            gate.wait(SOON)
            yield "b"
            time.sleep(0.01)
            yield "c"
        finally:
            ended.set()

    call = Call(EventSourceResponse(source()))
    await call.has("a")
    await call.leave(within=1)
    assert not ended.is_set()
    gate.set()
    assert await asyncio.to_thread(ended.wait, SOON)


async def test_many_waiting_sync_sources_do_not_block_each_other_or_the_app() -> None:
    gate = threading.Event()

    def source() -> Iterator[str]:
        yield "a"
        gate.wait(SOON)
        yield "b"

    calls = [Call(EventSourceResponse(source())) for _ in range(100)]
    for call in calls:
        await call.has("a")
    # The executor that the application itself uses is free.
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 5), SOON) == 5
    gate.set()
    for call in calls:
        await call.end()
        assert call.data() == ["a", "b"]


class Plain(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        return response


@pytest.mark.parametrize("layers", [1, 2])
async def test_cancellation_through_middleware(layers: int) -> None:
    ended = []

    async def source() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    async def endpoint(request: Request) -> Response:
        return EventSourceResponse(source())

    app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(Plain)] * layers)
    call = Call(app)
    await call.has("a")
    await asyncio.sleep(0.02)
    await call.leave(within=1)
    await eventually(lambda: ended, 1)


async def test_a_send_that_fails_ends_the_source() -> None:
    ended = []

    async def source() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
                await asyncio.sleep(0)
        finally:
            ended.append(1)

    async def fail(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            raise OSError("gone")

    call = Call(EventSourceResponse(source()), send=fail)  # type: ignore[arg-type]
    await call.end()
    assert ended == [1]


async def test_an_os_error_of_the_source_is_its_own() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        raise ConnectionResetError("of a database")

    call = Call(EventSourceResponse(source()))
    with pytest.raises(ConnectionResetError):
        await call.end()
    assert call.body.endswith(ERROR_EVENT)


async def test_a_failing_send_while_the_source_waits_ends_it() -> None:
    ended = []

    async def source() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    async def fail(message: dict[str, Any]) -> None:
        if message.get("body") == b":\n":
            raise OSError("gone")

    call = Call(EventSourceResponse(source(), heartbeat=0.02), send=fail)  # type: ignore[arg-type]
    await call.end()
    assert ended == [1]
