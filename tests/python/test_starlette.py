"""`ssehub.starlette`: a hub's subscriptions as responses, seen from the server's side."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asgi_call import Call
from ssehub import (
    ArgumentError,
    ClosedError,
    Event,
    HandoffError,
    History,
    Hub,
    Limits,
    StreamInfo,
    Subscription,
)
from ssehub.starlette import EventSourceResponse
from ssehub.testing import connect
from support import eventually, published

SSE = {"accept": "text/event-stream"}


def app_for(
    hub: Hub, *topics: str, middleware: list[Middleware] | None = None, **options: Any
) -> Starlette:
    async def events(request: Request) -> Response:
        return EventSourceResponse(hub.subscribe(*(topics or ("t",))), **options)

    return Starlette(
        routes=[Route("/", events, methods=["GET", "POST", "PUT"])], middleware=middleware or []
    )


async def opened(hub: Hub, count: int = 1) -> None:
    await eventually(lambda: hub.stats().connections == count)


def closed(hub: Hub, **reasons: int) -> bool:
    stats = hub.stats()
    counts = {reason: count for reason, count in stats.closed.items() if count}
    assert stats.connections == 0
    assert counts == reasons
    return True


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


# Snapshots.


def with_snapshot(hub: Hub, snapshot: Callable[[], Any]) -> Starlette:
    return app_for(hub, snapshot=snapshot)


async def test_snapshot_on_a_first_connect() -> None:
    hub, calls = Hub(), []

    def snapshot() -> Event:
        calls.append(1)
        # Published after the position was taken: part of the stream, whether or not of the snapshot.
        hub.publish("t", "meanwhile")
        return Event({"board": 7}, event="snapshot")

    published(hub, 3)
    before = hub.last_event_id
    call = Call(with_snapshot(hub, snapshot))
    await call.has('{"board":7}', "meanwhile")
    first, second = call.events()
    assert (first.event, first.id) == ("snapshot", before)
    assert second.id == hub.last_event_id
    await call.leave()
    assert calls == [1]


async def test_no_snapshot_on_a_clean_resume() -> None:
    hub, calls = Hub(), []
    ids = published(hub, 3)
    app = with_snapshot(hub, lambda: calls.append(1))
    call = Call(app, headers={"last-event-id": ids[1]})
    await call.has("2")
    await call.leave()
    assert calls == []


async def test_snapshot_instead_of_replay_after_a_gap() -> None:
    hub = Hub(history=History(count=2))
    ids = published(hub, 10)
    call = Call(with_snapshot(hub, lambda: "state"), headers={"last-event-id": ids[1]})
    await call.until(lambda: len(call.events()) == 2)
    gap, state = call.events()
    assert (gap.event, gap.json()["reason"]) == ("ssehub:gap", "expired")
    assert (state.data, gap.id, state.id) == ("state", ids[9], ids[9])
    hub.publish("t", "live")
    await call.until(lambda: len(call.events()) == 3)
    assert call.data()[-1] == "live"
    await call.leave()


async def test_a_snapshot_may_be_async_and_several_events() -> None:
    hub = Hub()

    async def snapshot() -> list[Any]:
        await asyncio.sleep(0)
        return [{"a": 1}, Event("b", event="e", retry=5), None]

    call = Call(with_snapshot(hub, snapshot))
    await call.has('{"a":1}', "b", "null")
    assert call.events()[-1].id == hub.last_event_id
    await call.leave()


async def test_an_error_of_a_first_snapshot_goes_to_the_framework() -> None:
    hub = Hub()
    call = Call(with_snapshot(hub, lambda: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        await call.end()
    assert call.status == 500
    assert closed(hub, error=1)


async def test_a_client_that_leaves_during_a_snapshot() -> None:
    hub, cancelled = Hub(), []

    async def snapshot() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    call = Call(with_snapshot(hub, snapshot))
    await opened(hub)
    await asyncio.sleep(0.02)
    await call.leave(within=1)
    assert cancelled == [1]
    assert closed(hub, client=1)


# Times.


async def test_heartbeats() -> None:
    hub = Hub()
    call = Call(app_for(hub, heartbeat=0.05))
    await call.until(lambda: call.body.count(b"\n:") >= 3)
    hub.publish("t", "x")
    await call.has("x")
    await call.leave()


async def test_no_heartbeat() -> None:
    hub = Hub(heartbeat=None)
    for call in (Call(app_for(hub)), Call(app_for(Hub(heartbeat=0.01), heartbeat=None))):
        await asyncio.sleep(0.1)
        assert b":\n" not in call.body
        await call.leave()


async def test_max_age() -> None:
    hub = Hub()
    call = Call(app_for(hub, max_age=0.1))
    await call.end()
    assert call.terminated
    assert closed(hub, max_age=1)


@pytest.mark.parametrize("kind", ["timestamp", "aware", "past"])
async def test_expires_at(kind: str) -> None:
    hub = Hub()
    at: Any = time.time() + (-5 if kind == "past" else 0.2)
    if kind == "aware":
        at = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
    call = Call(app_for(hub, expires_at=at))
    await call.end()
    assert call.terminated
    assert closed(hub, expired=1)


# Endings.


async def test_disconnect_by_key_and_topic() -> None:
    hub = Hub()
    calls = {
        (key, topic): Call(app_for(hub, topic, key=key)) for key in ("a", "b") for topic in "xy"
    }
    await opened(hub, 4)
    assert hub.disconnect(key="nobody") == hub.disconnect(topic="nothing") == 0
    assert hub.disconnect(key="a", topic="x") == 1
    await calls["a", "x"].end()
    hub.publish("y", "last")
    assert hub.disconnect(key="a", event=Event("bye", event="logout")) == 1
    await calls["a", "y"].end()
    assert calls["a", "y"].data()[-1] == "bye"
    assert calls["a", "y"].terminated
    assert hub.disconnect(topic="x") == 1
    assert hub.disconnect(key="b") in (1, 2)
    for call in calls.values():
        await call.end()
    assert closed(hub, kick=4)


async def test_disconnect_from_a_thread_while_idle() -> None:
    hub = Hub()
    call = Call(app_for(hub, key="k"))
    await opened(hub)
    await asyncio.sleep(0.05)
    assert await asyncio.to_thread(hub.disconnect, key="k") == 1
    await call.end()
    assert closed(hub, kick=1)


async def test_drain() -> None:
    hub = Hub(retry=1000)
    calls = [Call(app_for(hub)) for _ in range(20)]
    await opened(hub, 20)
    hub.publish("t", "last")
    assert await hub.drain(timeout=5, event=Event("bye", event="farewell"))
    retries = set()
    for call in calls:
        await call.end()
        assert call.terminated
        assert call.data() == ["last", "bye"]
        retries.add(call.body.rpartition(b"retry: ")[2].strip())
    assert all(1000 <= int(retry) <= 2000 for retry in retries)
    assert len(retries) > 1
    assert closed(hub, drain=20)
    assert not hub.ready


async def test_drain_cuts_who_takes_nothing() -> None:
    hub = Hub()
    held = asyncio.Event()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await held.wait()

    call = Call(app_for(hub), send=send)  # type: ignore[arg-type]
    await opened(hub)
    hub.publish("t", "x")
    assert await hub.drain(timeout=0.3, spread=0)
    await call.end()
    assert closed(hub, drain=1)


async def test_close() -> None:
    hub = Hub()
    call = Call(app_for(hub))
    await opened(hub)
    hub.close()
    await call.end()
    assert call.terminated
    assert hub.stats().connections == 0
    with pytest.raises(ClosedError):
        hub.subscribe("t")


async def test_lifespan_drains() -> None:
    hub = Hub()
    for _ in range(2):  # Another start of the same process.
        async with hub.lifespan(None):
            assert hub.ready
            call = Call(app_for(hub))
            await opened(hub)
        await call.end()
        assert call.terminated
        assert not hub.ready
    assert closed(hub, drain=2)


async def test_a_slow_client_is_disconnected_and_can_resume() -> None:
    hub = Hub(max_lag=300_000)
    held = asyncio.Event()

    async def send(message: dict[str, Any]) -> None:
        if b"first" in message.get("body", b""):
            await held.wait()

    call = Call(app_for(hub), send=send)  # type: ignore[arg-type]
    await opened(hub)
    hub.publish("t", "first")
    await asyncio.sleep(0.02)
    for _ in range(40):
        hub.publish("t", "x" * 10_000)
    held.set()
    await call.end()
    assert closed(hub, slow=1)
    last = call.events()[-1].id
    again = Call(app_for(hub), headers={"last-event-id": last or ""})
    await again.until(lambda: len(again.events()) == 40)
    await again.leave()


async def test_a_stalled_client_is_cut_while_the_server_waits_for_it() -> None:
    hub = Hub(max_lag=300_000)

    async def send(message: dict[str, Any]) -> None:
        if b"first" in message.get("body", b""):
            await asyncio.Event().wait()

    call = Call(app_for(hub), send=send)  # type: ignore[arg-type]
    await opened(hub)
    hub.publish("t", "first")
    await asyncio.sleep(0.02)
    for _ in range(40):
        hub.publish("t", "x" * 10_000)
    await call.end()
    assert not call.terminated
    assert closed(hub, slow=1)


# Limits and refusals.


async def test_limit_of_connections() -> None:
    hub = Hub(limits=Limits(connections=2), retry=1000)
    calls = [Call(app_for(hub)) for _ in range(2)]
    await opened(hub, 2)
    browser = Call(app_for(hub), headers=SSE)
    await browser.end()
    assert (browser.status, browser.terminated) == (200, True)
    retry = int(browser.body.removeprefix(b"retry: "))
    assert 1000 <= retry <= 2000
    script = Call(app_for(hub))
    await script.end()
    assert (script.status, script.body) == (429, b"")
    assert 1 <= int(dict(script.headers)["retry-after"]) <= 2
    assert "content-type" not in dict(script.headers)
    strict = Call(app_for(hub, refuse="status"), headers=SSE)
    await strict.end()
    assert strict.status == 429
    assert hub.stats().refused == 3
    for call in calls:
        await call.leave()
    assert closed(hub, client=2)


async def test_refusal_while_draining() -> None:
    hub = Hub()
    hub.start_drain()
    for headers, refuse, status in [(SSE, "retry", 200), ({}, "retry", 503), (SSE, "status", 503)]:
        call = Call(app_for(hub, refuse=refuse), headers=headers)
        await call.end()
        assert (call.status, call.terminated) == (status, True)
    assert hub.stats().opened == 0


async def test_limit_per_key_closes_the_oldest() -> None:
    hub = Hub(limits=Limits(connections_per_key=2))
    others = [Call(app_for(hub, key="other")), Call(app_for(hub))]
    await opened(hub, 2)
    calls = []
    for n in range(4):
        calls.append(Call(app_for(hub, key="k")))
        await eventually(lambda n=n: hub.stats().opened == n + 3)  # type: ignore[misc]
    await calls[0].end()
    await calls[1].end()
    assert calls[0].terminated
    assert not any(call.task.done() for call in [*calls[2:], *others])
    for call in [*calls[2:], *others]:
        await call.leave()
    assert closed(hub, client=4, kick=2)


# Callbacks.


async def test_on_open_and_on_close_once_per_stream(caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub()
    seen: list[tuple[str, StreamInfo]] = []

    @hub.on_open
    def failing(info: StreamInfo) -> None:
        seen.append(("open", info))
        raise RuntimeError("of a callback")

    hub.on_close(lambda info: seen.append(("close", info)))
    app = app_for(hub, "a", "b", key="k", on_close=lambda info: seen.append(("mine", info)))
    with caplog.at_level(logging.INFO, "ssehub"):
        call = Call(app, "/?token=secret")
        await opened(hub)
        hub.publish("a", "x")
        await call.has("x")
        await call.leave()
    assert [name for name, _ in seen] == ["open", "close", "mine"]
    opening, closing = seen[0][1], seen[1][1]
    assert (opening.key, opening.topics, opening.mode) == ("k", ("a", "b"), "in-loop")
    assert opening.last_event_id == hub.last_event_id.partition("-")[0] + "-0"
    assert (closing.reason, closing.events) == ("client", 1)
    assert closing.bytes > 0
    assert closing.duration >= 0
    assert closing.last_event_id == hub.last_event_id
    assert "of a callback" in caplog.text
    (access,) = [record for record in caplog.records if record.name == "ssehub.access"]
    assert "secret" not in access.getMessage()
    assert access.getMessage().startswith("/ client")


async def test_on_close_tells_the_reason() -> None:
    hub, reasons = Hub(), []
    hub.on_close(lambda info: reasons.append(info.reason))
    app = app_for(hub, key="k")
    kicked = Call(app)
    await opened(hub)
    hub.disconnect(key="k")
    await kicked.end()
    refused_hub = Hub(limits=Limits(connections=1))
    refused_hub.on_close(lambda info: reasons.append("never"))
    held = Call(app_for(refused_hub))
    await opened(refused_hub)
    await Call(app_for(refused_hub)).end()
    assert reasons == ["kick"]
    await held.leave()


async def test_background() -> None:
    hub, ran = Hub(), []
    task = BackgroundTask(lambda: ran.append(hub.stats().connections))
    call = Call(EventSourceResponse(hub.subscribe("t"), background=task))
    await opened(hub)
    assert ran == []
    await call.leave()
    assert ran == [0]


# What a response may be made of.


async def test_content_may_be_a_callable() -> None:
    hub = Hub()

    async def late() -> Subscription:
        return hub.subscribe("t")

    for content in (lambda: hub.subscribe("t"), late):
        call = Call(EventSourceResponse(content))
        await opened(hub)
        hub.publish("t", "x")
        await call.has("x")
        await call.leave()


@pytest.mark.parametrize(
    ("content", "options", "error"),
    [
        ("text", {}, TypeError),
        (b"bytes", {}, TypeError),
        ({"a": 1}, {}, TypeError),
        (5, {}, TypeError),
        (None, {}, TypeError),
        (["a"], {"handoff": "maybe"}, ArgumentError),
        (["a"], {"refuse": "no"}, ArgumentError),
        (["a"], {"heartbeat": 0}, ArgumentError),
        (["a"], {"heartbeat": -1}, ArgumentError),
        (["a"], {"heartbeat": "1"}, TypeError),
        (["a"], {"max_age": -1}, ArgumentError),
        (["a"], {"key": 5}, TypeError),
        (["a"], {"snapshot": "state"}, TypeError),
        (["a"], {"on_close": "f"}, TypeError),
        (["a"], {"expires_at": "tomorrow"}, TypeError),
    ],
    ids=str,
)
def test_arguments_are_checked_in_the_handler(
    content: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        EventSourceResponse(content, **options)


async def test_handoff() -> None:
    hub = Hub()
    for handoff in ("detach", "hold", "off"):
        call = Call(app_for(hub, handoff=handoff))
        await opened(hub)
        await call.leave()
    call = Call(EventSourceResponse(hub.subscribe("t"), handoff="require"))
    with pytest.raises(HandoffError, match="detach"):
        await call.end()
    assert hub.stats().connections == 0


async def test_all_clients_of_a_loop_get_the_same_bytes_object() -> None:
    hub = Hub()
    calls = [Call(app_for(hub)) for _ in range(20)]
    await opened(hub, 20)
    await asyncio.sleep(0.02)
    published(hub, 10)
    for call in calls:
        await call.has(*map(str, range(10)))
    bodies = [message["body"] for call in calls for message in call.messages[2:]]
    assert len(bodies) == 20
    assert len({id(body) for body in bodies}) == 1
    for call in calls:
        await call.leave()


async def test_one_loop_s_streams_do_not_disturb_each_other() -> None:
    hub = Hub()
    held = asyncio.Event()

    async def send(message: dict[str, Any]) -> None:
        if b"data" in message.get("body", b""):
            await held.wait()

    slow, fast = Call(app_for(hub), send=send), Call(app_for(hub))  # type: ignore[arg-type]
    await opened(hub, 2)
    for n in range(50):
        hub.publish("t", str(n))
        await fast.until(lambda n=n: len(fast.events()) == n + 1)  # type: ignore[misc]
    held.set()
    await slow.has(*map(str, range(50)))
    # What was published while it was slow came as one delivery.
    assert len(slow.messages) <= 5
    for call in (slow, fast):
        await call.leave()


def test_importing_starlette_s_module_needs_no_fastapi() -> None:
    import ssehub.fastapi

    assert ssehub.fastapi.EventSourceResponse is EventSourceResponse or issubclass(
        ssehub.fastapi.EventSourceResponse, EventSourceResponse
    )
