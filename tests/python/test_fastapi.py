"""`ssehub.fastapi`: dependencies, `response_class`, endpoints that yield."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pydantic
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from asgi_call import Call
from ssehub import Event, Hub
from ssehub.fastapi import EventSourceResponse
from ssehub.http import FINISHED_BLOCK
from ssehub.testing import connect
from support import SOON, eventually

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


class Item(pydantic.BaseModel):
    title: str = pydantic.Field(alias="itemTitle")


async def test_the_readme_s_application() -> None:
    hub = Hub()
    app = FastAPI(lifespan=hub.lifespan)

    @app.get("/events", response_class=EventSourceResponse)
    async def events() -> EventSourceResponse:
        return EventSourceResponse(hub.subscribe("news", "user:1"), key="user:1")

    @app.post("/news")
    def post(item: Item) -> None:
        hub.publish("news", item, event="posted")

    async with connect(app, "/events") as stream:
        assert stream.status == 200
        headers = {"content-type": "application/json"}
        call = Call(app, "/news", method="POST", headers=headers, body=b'{"itemTitle":"x"}')
        await call.end()
        assert call.status == 200
        event = await stream.next(timeout=1)
        assert (event.event, event.json()) == ("posted", {"itemTitle": "x"})
        assert event.json(Item) == Item(itemTitle="x")
    assert hub.stats().connections == 0


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_an_endpoint_that_yields(kind: str) -> None:
    app = FastAPI()

    if kind == "async":

        @app.get("/", response_class=EventSourceResponse)
        async def stream(n: int) -> AsyncIterator[Any]:
            yield {"n": n}
            await asyncio.sleep(0)
            yield Event("x", event="e")
            yield None
            yield "text"
            yield Item(itemTitle="t")

    else:

        @app.get("/", response_class=EventSourceResponse)
        def stream(n: int) -> Iterator[Any]:
            yield {"n": n}
            yield Event("x", event="e")
            yield None
            yield "text"
            yield Item(itemTitle="t")

    call = Call(app, "/?n=5")
    await call.end()
    assert call.status == 200
    assert dict(call.headers)["content-type"] == "text/event-stream"
    assert dict(call.headers)["x-accel-buffering"] == "no"
    assert call.data() == ['{"n":5}', "x", "null", "text", '{"itemTitle":"t"}']
    assert call.events()[1].event == "e"
    assert call.terminated
    invalid = Call(app, "/?n=x")
    await invalid.end()
    assert invalid.status == 422


@pytest.mark.parametrize("annotated", [True, False])
async def test_a_yielding_endpoint_is_cancelled_when_the_client_leaves(annotated: bool) -> None:
    app, ended = FastAPI(), []

    async def stream():  # type: ignore[no-untyped-def]
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    if annotated:
        stream.__annotations__["return"] = AsyncIterator[str]
    app.get("/", response_class=EventSourceResponse)(stream)
    call = Call(app)
    await call.until(lambda: len(call.events()) == 1)
    await call.leave(within=2)
    await eventually(lambda: ended, 1)


async def test_dependencies_live_as_long_as_an_iterable_s_stream() -> None:
    app, order = FastAPI(), []

    async def session() -> AsyncIterator[str]:
        order.append("open")
        yield "session"
        order.append("close")

    @app.get("/")
    async def endpoint(
        session: str = Depends(session),
    ) -> EventSourceResponse:
        async def source() -> AsyncIterator[str]:
            for _ in range(2):
                order.append(session)
                yield "x"
                await asyncio.sleep(0)

        return EventSourceResponse(source())

    call = Call(app)
    await call.end()
    assert order == ["open", "session", "session", "close"]


async def test_a_dependency_s_end_runs_when_the_client_leaves() -> None:
    app, order = FastAPI(), []

    async def session() -> AsyncIterator[str]:
        try:
            yield "session"
        finally:
            order.append("close")

    hub = Hub()

    @app.get("/")
    async def endpoint(
        session: str = Depends(session),
    ) -> EventSourceResponse:
        return EventSourceResponse(hub.subscribe("t"))

    call = Call(app)
    await eventually(lambda: hub.stats().connections == 1)
    assert order == []
    await call.leave(within=1)
    assert order == ["close"]


async def test_errors_before_the_head_meet_the_handlers() -> None:
    app = FastAPI()

    @app.exception_handler(KeyError)
    async def handle(request: Request, error: KeyError) -> JSONResponse:
        return JSONResponse({"missing": str(error)}, 404)

    @app.get("/key")
    async def key() -> EventSourceResponse:
        async def source() -> AsyncIterator[str]:
            raise KeyError("x")
            yield ""

        return EventSourceResponse(source())

    @app.get("/http")
    async def http() -> EventSourceResponse:
        def source() -> Iterator[str]:
            raise HTTPException(403, "not yours")
            yield ""

        return EventSourceResponse(source())

    call = Call(app, "/key")
    await call.end()
    assert (call.status, call.body) == (404, b'{"missing":"\'x\'"}')
    call = Call(app, "/http")
    await call.end()
    assert (call.status, call.body) == (403, b'{"detail":"not yours"}')


async def test_contextvars_of_dependencies() -> None:
    app = FastAPI()

    async def set_variable() -> None:
        variable.set("of the request")

    @app.get("/", dependencies=[Depends(set_variable)])
    async def endpoint() -> EventSourceResponse:
        async def source() -> AsyncIterator[str]:
            yield variable.get()

        return EventSourceResponse(source())

    call = Call(app)
    await call.end()
    assert call.data() == ["of the request"]


async def test_publish_from_sync_and_async_handlers_background_and_threads() -> None:
    hub, app = Hub(), FastAPI()

    @app.post("/sync")
    def sync_handler() -> None:
        hub.publish("t", "sync")

    @app.post("/async")
    async def async_handler() -> None:
        hub.publish("t", "async")

    @app.post("/background")
    async def background_handler(tasks: BackgroundTasks) -> None:
        tasks.add_task(hub.publish, "t", "background")

    @app.get("/")
    async def events() -> EventSourceResponse:
        return EventSourceResponse(hub.subscribe("t"))

    call = Call(app)
    await eventually(lambda: hub.stats().connections == 1)
    for name in ("sync", "async", "background"):
        await Call(app, f"/{name}", method="POST").end()
    await call.has("sync", "async", "background")
    await call.leave()


async def test_the_mark_and_204_of_an_endpoint_that_yields() -> None:
    app, runs = FastAPI(), []

    @app.get("/", response_class=EventSourceResponse)
    async def stream() -> AsyncIterator[str]:
        runs.append(1)
        yield "a"

    call = Call(app)
    await call.end()
    assert call.body.endswith(FINISHED_BLOCK)
    call = Call(app, headers={"last-event-id": "ssehub:end"})
    await call.end()
    assert (call.status, call.body, runs) == (204, b"", [1])


async def test_openapi_names_the_media_type() -> None:
    app = FastAPI()

    @app.get("/", response_class=EventSourceResponse)
    async def events() -> EventSourceResponse:
        return EventSourceResponse([])

    content = app.openapi()["paths"]["/"]["get"]["responses"]["200"]["content"]
    assert list(content) == ["text/event-stream"]


async def test_lifespan_inside_one_s_own() -> None:
    from contextlib import asynccontextmanager

    hub = Hub()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with hub.lifespan(app):
            yield

    app = FastAPI(lifespan=lifespan)
    async with app.router.lifespan_context(app):
        assert hub.ready
    call = Call(app)
    await asyncio.wait_for(call.end(), SOON)
