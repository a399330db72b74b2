"""Iterables as responses: the head's time, errors, cancellation, contexts, the finished mark."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from asgi_call import Call
from ssehub import Event, HandoffError
from ssehub.http import ERROR_EVENT, FINISHED_BLOCK
from ssehub.starlette import EventSourceResponse
from ssehub.testing import connect
from support import SOON

MARK = FINISHED_BLOCK
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


def sync_items(*items: Any) -> Iterator[Any]:
    yield from items


async def async_items(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.fixture(params=["async", "sync"])
def items(request: pytest.FixtureRequest) -> Any:
    return async_items if request.param == "async" else sync_items


async def test_the_data_rule(items: Any) -> None:
    call = Call(
        EventSourceResponse(
            items("text", b"bytes", {"a": 1}, None, 5, Event("x", event="e", id="1", retry=2))
        )
    )
    await call.end()
    assert call.status == 200
    assert call.body == (
        b'data: text\n\ndata: bytes\n\ndata: {"a":1}\n\ndata: null\n\ndata: 5\n\n'
        b"id: 1\nevent: e\nretry: 2\ndata: x\n\n" + MARK
    )
    assert call.terminated


@pytest.mark.parametrize("content", [["a"], ("a",), {"a"}, iter(["a"]), range(1), lambda: ["a"]])
async def test_any_iterable(content: Any) -> None:
    call = Call(EventSourceResponse(content))
    await call.end()
    assert len(call.events()) == 1


async def test_what_makes_an_iterable_is_called_once() -> None:
    made = []

    async def make() -> AsyncIterator[str]:
        made.append(1)
        return async_items("a")

    for content in (make, lambda: async_items("a"), lambda: sync_items("a")):
        call = Call(EventSourceResponse(content))
        await call.end()
        assert call.data() == ["a"]
    assert made == [1]


async def test_an_empty_source() -> None:
    call = Call(EventSourceResponse([]))
    await call.end()
    assert (call.status, call.body, call.terminated) == (200, MARK, True)


async def test_an_item_goes_out_when_it_comes(items: Any) -> None:
    gate = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        yield "first"
        await gate.wait()
        yield "second"

    call = Call(EventSourceResponse(source()))
    await call.has("first")
    gate.set()
    await call.has("first", "second")
    await call.end()


async def test_the_head_waits_for_the_first_item_a_second_at_most() -> None:
    gate = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        await gate.wait()
        yield "late"

    call = Call(EventSourceResponse(source()))
    await asyncio.sleep(0.3)
    assert call.messages == []
    await call.until(lambda: call.messages)
    await call.until(lambda: len(call.messages) == 2)
    assert call.events() == []
    gate.set()
    await call.has("late")
    await call.end()
    assert [message["type"] for message in call.messages].count("http.response.start") == 1


async def test_the_head_goes_out_with_the_first_heartbeat() -> None:
    async def source() -> AsyncIterator[str]:
        await asyncio.sleep(0.3)
        yield "late"

    call = Call(EventSourceResponse(source(), heartbeat=0.05))
    await call.has("late")
    assert call.body.count(b":\n") >= 2
    await call.end()


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_heartbeats_while_the_source_waits(kind: str) -> None:
    gate = threading.Event()

    def slow() -> Iterator[str]:
        yield "a"
        gate.wait(SOON)
        yield "b"

    async def aslow() -> AsyncIterator[str]:
        yield "a"
        await asyncio.to_thread(gate.wait, SOON)
        yield "b"

    call = Call(EventSourceResponse(slow() if kind == "sync" else aslow(), heartbeat=0.05))
    await call.until(lambda: call.body.count(b"\n:") >= 2)
    gate.set()
    await call.has("a", "b")
    await call.end()


def failing_app(source: Any, **options: Any) -> Starlette:
    async def answer(request: Request, error: Exception) -> Response:
        return JSONResponse({"handled": str(error)}, 418)

    async def endpoint(request: Request) -> Response:
        return EventSourceResponse(source(), **options)

    return Starlette(
        routes=[Route("/", endpoint)],
        exception_handlers={ZeroDivisionError: answer},
    )


async def test_an_error_before_the_head_is_the_framework_s(items: Any) -> None:
    async def source() -> AsyncIterator[str]:
        raise ZeroDivisionError("early")
        yield ""

    def sync_source() -> Iterator[str]:
        raise ZeroDivisionError("early")
        yield ""

    call = Call(failing_app(source if items is async_items else sync_source))
    await call.end()
    assert (call.status, call.body) == (418, b'{"handled":"early"}')
    assert dict(call.headers)["content-type"] == "application/json"


async def test_an_item_that_cannot_be_written_is_an_error() -> None:
    call = Call(failing_app(lambda: async_items(object())))
    with pytest.raises(TypeError, match="dumps="):
        await call.end()
    assert call.status == 500
    call = Call(failing_app(lambda: async_items(Event("x"), float("nan"))))
    with pytest.raises(ValueError, match="JSON"):
        await call.end()
    assert call.body.endswith(ERROR_EVENT)


async def test_a_later_error_is_told_without_details_and_cut(
    items: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        raise ZeroDivisionError("secret")

    def sync_source() -> Iterator[str]:
        yield "a"
        raise ZeroDivisionError("secret")

    # As an application: the exception must reach the server, not a handler's second head.
    call = Call(EventSourceResponse(source() if items is async_items else sync_source()))
    with caplog.at_level(logging.ERROR), pytest.raises(ZeroDivisionError):
        await call.end()
    assert call.body == b"data: a\n\nevent: ssehub:error\ndata: \n\n"
    assert not call.terminated
    assert b"secret" not in call.body
    assert "secret" in caplog.text
    assert sum(record.name == "ssehub" for record in caplog.records) == 1


async def test_contextvars_are_the_request_s(items: Any) -> None:
    async def source() -> AsyncIterator[str]:
        yield variable.get()
        variable.set("changed")
        yield variable.get()

    def sync_source() -> Iterator[str]:
        yield variable.get()
        variable.set("changed")
        yield variable.get()

    async def endpoint(request: Request) -> Response:
        variable.set(request.query_params["v"])
        return EventSourceResponse(source() if items is async_items else sync_source())

    app = Starlette(routes=[Route("/", endpoint)])
    calls = [Call(app, f"/?v={n}") for n in range(3)]
    for n, call in enumerate(calls):
        await call.end()
        assert call.data() == [str(n), "changed"]
    assert variable.get() == "nothing"


async def test_background_runs_after_the_stream() -> None:
    order: list[str] = []

    async def source() -> AsyncIterator[str]:
        yield "a"
        order.append("source")

    async def background() -> None:
        order.append("background")

    call = Call(EventSourceResponse(source(), background=BackgroundTask(background)))
    await call.end()
    assert order == ["source", "background"]


async def test_the_finished_mark_and_204() -> None:
    runs = []

    async def source() -> AsyncIterator[str]:
        runs.append(1)
        yield "a"

    def respond(**options: Any) -> EventSourceResponse:
        return EventSourceResponse(source(), **options)

    first = Call(respond())
    await first.end()
    mark = first.body.decode().rpartition("id: ")[2].strip()
    for path, headers in [("/", {"last-event-id": mark}), (f"/?lastEventId={mark}", {})]:
        again = Call(respond(), path, headers=headers)
        await again.end()
        assert (again.status, again.body, again.terminated) == (204, b"", True)
        assert "content-type" not in dict(again.headers)
    assert runs == [1]
    ever = Call(respond(once=False), headers={"last-event-id": mark})
    await ever.end()
    assert (ever.status, ever.body) == (200, b"data: a\n\n")
    # A POST is a new job.
    posted = Call(respond(), method="POST", headers={"last-event-id": mark})
    await posted.end()
    assert (posted.status, posted.body) == (200, b"data: a\n\n")
    # A client in the middle of a stream runs it again.
    middle = Call(respond(), headers={"last-event-id": "7"})
    await middle.end()
    assert middle.body == b"data: a\n\n" + MARK


async def test_a_source_that_is_answered_204_does_not_warn() -> None:
    call = Call(EventSourceResponse(async_items("a")), headers={"last-event-id": "ssehub:end"})
    await call.end()
    assert call.status == 204


async def test_head_does_not_run_the_source() -> None:
    ran = []

    def make() -> Iterator[str]:
        ran.append(1)
        yield "a"

    call = Call(EventSourceResponse(make), method="HEAD")
    await call.end()
    assert (call.status, call.body, ran) == (200, b"", [])


async def test_handoff_require_is_for_subscriptions() -> None:
    with pytest.raises(HandoffError, match="iterable"):
        await Call(EventSourceResponse(["a"], handoff="require")).end()


async def test_an_endless_source_through_the_testing_client() -> None:
    async def source() -> AsyncIterator[int]:
        n = 0
        while True:
            yield n
            n += 1
            await asyncio.sleep(0)

    async with connect(EventSourceResponse(source()), "/", method="POST", body=b"{}") as stream:
        assert [(await stream.next(timeout=1)).data for _ in range(3)] == ["0", "1", "2"]


async def test_backpressure_reaches_the_source(items: Any) -> None:
    taken = 0
    held = asyncio.Event()

    def sync_source() -> Iterator[str]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield "x"

    async def source() -> AsyncIterator[str]:
        for item in sync_source():
            yield item

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await held.wait()

    made = source() if items is async_items else sync_source()
    call = Call(EventSourceResponse(made), send=send)  # type: ignore[arg-type]
    await asyncio.sleep(0.1)
    assert taken <= 40
    held.set()
    await call.end()
    assert len(call.events()) == 1000


@pytest.mark.parametrize("how", ["end", "leave", "fail"])
async def test_on_close(how: str) -> None:
    told: list[Any] = []

    async def source() -> AsyncIterator[str]:
        yield "a"
        if how == "leave":
            await asyncio.Event().wait()
        if how == "fail":
            raise ZeroDivisionError

    call = Call(EventSourceResponse(source(), key="k", on_close=told.append))
    await call.until(lambda: len(call.events()) >= 1)
    if how == "leave":
        await call.leave()
    elif how == "fail":
        with pytest.raises(ZeroDivisionError):
            await call.end()
    else:
        await call.end()
    (info,) = told
    assert (info.key, info.topics, info.events) == ("k", (), 1)
    assert info.reason == {"end": "finished", "leave": "client", "fail": "error"}[how]
