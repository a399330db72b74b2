"""`ssehub.starlette`: a hub's subscriptions as responses, seen from the server's side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asgi_call import Call, app_for, closed, opened
from ssehub import (
    Event,
    Hub,
)
from ssehub.starlette import EventSourceResponse
from ssehub.testing import connect
from support import eventually, published


async def test_a_stream() -> None:
    hub = Hub(retry=1234)
    call = Call(app_for(hub))
    await opened(hub)
    id = hub.publish_wait("t", {"a": 1}, event="e")
    await call.has('{"a":1}')
    assert call.status == 200
    assert dict(call.headers) == {
        "content-type": "text/event-stream",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
    }
    epoch = id.partition("-")[0]
    assert call.body == (
        f'retry: 1234\nid: {epoch}-0\n\nid: {id}\nevent: e\ndata: {{"a":1}}\n\n'.encode()
    )
    await call.leave(within=1)
    assert closed(hub, client=1)
    assert (hub.subscribers("t"), hub.stats().opened) == (0, 1)


async def test_through_the_testing_client() -> None:
    hub = Hub()
    async with connect(app_for(hub), "/") as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        await opened(hub)
        hub.publish("t", "x")
        assert (await stream.next(timeout=1)).data == "x"
        with pytest.raises(TimeoutError):
            await stream.next(timeout=0.01)
        assert stream.retry == 3000
        last = stream.last_event_id
    assert closed(hub, client=1)
    hub.publish("t", "missed")
    async with connect(app_for(hub), "/", headers={"Last-Event-ID": last}) as stream:
        assert (await stream.next(timeout=1)).data == "missed"
        hub.close()
        with pytest.raises(EOFError):
            await stream.next(timeout=1)


async def test_a_client_that_leaves_an_idle_stream_is_noticed_at_once() -> None:
    hub = Hub()
    calls = [Call(app_for(hub)) for _ in range(10)]
    await opened(hub, 10)
    await asyncio.sleep(0.05)
    for call in calls:
        await call.leave(within=1)
    assert closed(hub, client=10)


async def test_a_client_that_leaves_before_the_body() -> None:
    hub = Hub()

    async def stuck(message: object) -> None:
        await asyncio.Event().wait()

    call = Call(app_for(hub), send=stuck)
    await opened(hub)
    await call.leave(within=1)
    assert closed(hub, client=1)


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_server_whose_send_fails(after: int, caplog: pytest.LogCaptureFixture) -> None:
    """ASGI 2.4: `send` raises OSError once the client is gone. That is a client that has left."""
    hub, sent = Hub(), 0

    async def fail(message: object) -> None:
        nonlocal sent
        sent += 1
        if sent > after:
            raise OSError("gone")

    call = Call(app_for(hub), send=fail)
    await eventually(lambda: hub.stats().opened)
    hub.publish("t", "x")
    await asyncio.wait([call.task], timeout=5)
    error = call.task.exception()
    assert error is None or isinstance(error, OSError)
    assert closed(hub, client=1)


async def test_a_task_that_the_server_cancels() -> None:
    hub = Hub()
    call = Call(app_for(hub))
    await opened(hub)
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.task
    assert closed(hub, client=1)


async def test_a_response_that_is_never_sent_holds_nothing() -> None:
    hub = Hub()
    EventSourceResponse(hub.subscribe("t"), key="k", snapshot=lambda: Event("x"))
    assert (hub.stats().connections, hub.subscribers("t"), hub.stats().topics) == (0, 0, 0)


async def test_head() -> None:
    hub = Hub()
    call = Call(app_for(hub), method="HEAD")
    await call.end()
    assert (call.status, call.body, call.terminated) == (200, b"", True)
    assert dict(call.headers)["content-type"] == "text/event-stream"
    assert hub.stats().opened == 0


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_any_method_may_stream(method: str) -> None:
    hub = Hub()
    call = Call(app_for(hub), method=method, body=b"x" * 100)
    await opened(hub)
    hub.publish("t", "x")
    await call.has("x")
    await call.leave(within=1)


async def test_headers_of_the_user_win() -> None:
    hub = Hub()
    headers = {"X-Own": "1", "Cache-Control": "private", "X-Accel-Buffering": "yes"}
    response = EventSourceResponse(hub.subscribe("t"), 201, headers)
    response.set_cookie("a", "b")
    response.headers["x-more"] = "2"
    call = Call(response)
    await call.until(lambda: call.messages)
    names = [name for name, _ in call.headers]
    assert len(names) == len(set(names))
    found = dict(call.headers)
    assert call.status == 201
    assert (found["x-own"], found["x-more"], found["cache-control"]) == ("1", "2", "private")
    assert found["x-accel-buffering"] == "yes"
    assert found["set-cookie"].startswith("a=b")
    assert found["content-type"] == "text/event-stream"
    await call.leave()


async def test_media_type() -> None:
    call = Call(EventSourceResponse(Hub().subscribe("t"), media_type="text/event-stream; x=1"))
    await call.until(lambda: call.messages)
    assert dict(call.headers)["content-type"] == "text/event-stream; x=1"
    await call.leave()


class Plain(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Callable[..., Any]) -> Response:
        response: Response = await call_next(request)
        response.headers["x-seen"] = response.headers.get("x-seen", "") + "1"
        return response


@pytest.mark.parametrize(
    "middleware",
    [
        [Middleware(CORSMiddleware, allow_origins=["*"])],
        [Middleware(GZipMiddleware, minimum_size=1)],
        [Middleware(Plain)],
        [Middleware(Plain), Middleware(Plain)],
        [Middleware(Plain), Middleware(GZipMiddleware, minimum_size=1), Middleware(Plain)],
    ],
    ids=["cors", "gzip", "base", "base-base", "base-gzip-base"],
)
async def test_middleware(middleware: list[Middleware]) -> None:
    hub = Hub()
    headers = {"origin": "http://a.example", "accept-encoding": "gzip"}
    call = Call(app_for(hub, middleware=middleware), headers=headers)
    await opened(hub)
    await call.until(lambda: call.body)
    assert "content-encoding" not in dict(call.headers)
    hub.publish("t", "x")
    await call.has("x")
    found = dict(call.headers)
    if middleware[0].cls is CORSMiddleware:
        assert found["access-control-allow-origin"] == "*"
    if middleware[0].cls is Plain:
        assert found["x-seen"] == "1" * sum(m.cls is Plain for m in middleware)
    # Idle now, and the client goes: freed at once.
    await asyncio.sleep(0.05)
    await call.leave(within=1)
    await eventually(lambda: hub.stats().connections == 0, 1)
    assert closed(hub, client=1)


async def test_resume_by_header_and_query() -> None:
    hub = Hub()
    ids = published(hub, 5)
    for path, headers in [
        ("/", {"last-event-id": ids[2]}),
        (f"/?lastEventId={ids[2]}", {}),
        (f"/?a=b&lastEventId={ids[2]}&c=d", {"last-event-id": ""}),
        (f"/?lastEventId={ids[0]}", {"last-event-id": ids[2]}),
    ]:
        call = Call(app_for(hub), path, headers=headers)
        await call.has("3", "4")
        await call.leave()


async def test_code_s_own_start_gives_way_to_the_client_s() -> None:
    hub = Hub()
    ids = published(hub, 5)

    async def events(request: Request) -> Response:
        return EventSourceResponse(hub.subscribe("t", last_event_id="earliest"))

    app = Starlette(routes=[Route("/", events)])
    first = Call(app)
    await first.has("0", "1", "2", "3", "4")
    again = Call(app, headers={"last-event-id": ids[3]})
    await again.has("4")
    # A client cannot ask for everything.
    greedy = Call(app_for(hub), headers={"last-event-id": "earliest"})
    await greedy.until(lambda: greedy.events())
    assert greedy.events()[0].event == "ssehub:gap"
    for call in (first, again, greedy):
        await call.leave()


async def test_the_first_reconnect_can_resume_before_any_event() -> None:
    hub = Hub()
    call = Call(app_for(hub))
    await call.until(lambda: b"id: " in call.body)
    await call.leave()
    id = call.body.decode().split("id: ")[1].split("\n")[0]
    published(hub, 2)
    again = Call(app_for(hub), headers={"last-event-id": id})
    await again.has("0", "1")
    await again.leave()


async def test_without_announced_position() -> None:
    hub = Hub()
    call = Call(app_for(hub, announce_position=False))
    await opened(hub)
    hub.publish("t", "x")
    await call.has("x")
    assert call.body.startswith(b"retry: 3000\nid: ")
    # Decoders that take every blank line for an event see one.
    assert call.body.count(b"\n\n") == 1
    await call.leave()


async def test_last_event_id_that_is_no_text() -> None:
    hub = Hub()
    call = Call(app_for(hub), headers={"last-event-id": "\xff\xfe\xe9"})
    await call.until(lambda: call.events())
    assert call.events()[0].json()["reason"] == "unknown"
    await call.leave()
