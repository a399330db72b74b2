"""`ssehub.testing`, and the frameworks' own test clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask, Response
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ssehub import Hub, Parser, SSEHubError
from ssehub.flask import EventSourceResponse as FlaskResponse
from ssehub.starlette import EventSourceResponse
from ssehub.testing import Stream, connect


async def echo(request: Request) -> EventSourceResponse:
    body = await request.body()
    items = [request.method, request.url.path, str(request.query_params), body.decode()]
    return EventSourceResponse([*items, request.headers.get("x-own", "")])


async def test_the_request() -> None:
    app = Starlette(routes=[Route("/a b", echo, methods=["POST"])])
    async with connect(
        app, "/a%20b?x=1&y=%C3%A9", method="POST", body=b"body", headers={"X-Own": "1"}
    ) as stream:
        assert isinstance(stream, Stream)
        assert [(await stream.next()).data for _ in range(5)] == [
            *("POST", "/a b", "x=1&y=%C3%A9"),
            *("body", "1"),
        ]
        with pytest.raises(EOFError):
            await stream.next()
        with pytest.raises(EOFError):
            await stream.next()


async def test_the_accept_header_is_a_browser_s() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        await EventSourceResponse([headers[b"accept"]])(scope, receive, send)

    async with connect(app, "/") as stream:
        assert (await stream.next()).data == "text/event-stream"
    async with connect(app, "/", headers={"Accept": "*/*"}) as stream:
        assert (await stream.next()).data == "*/*"


async def test_other_answers() -> None:
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("no", 403))])
    async with connect(app, "/") as stream:
        assert stream.status == 403
        with pytest.raises(EOFError):
            await stream.next()


async def test_an_application_that_fails_before_its_head() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with connect(app, "/"):
            pass


async def test_an_application_that_says_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    with pytest.raises(SSEHubError):
        async with connect(app, "/"):
            pass

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue

    with pytest.raises(asyncio.TimeoutError):
        async with connect(silent, "/", timeout=0.05):
            pass


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
async def test_an_error_inside_the_test_leaves_the_stream(kind: str) -> None:
    hub = Hub()
    app: Any
    if kind == "asgi":
        app = EventSourceResponse(hub.subscribe("t"))
    else:
        app = Flask("test")
        app.get("/")(lambda: FlaskResponse(hub.subscribe("t")))

    async def fail() -> None:
        async with connect(app, "/") as stream:
            hub.publish("t", "x")
            assert (await stream.next()).data == "x"
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert hub.stats().connections == 0


async def test_several_streams_at_once() -> None:
    hub, app = Hub(), FastAPI()

    @app.get("/{topic}", response_class=EventSourceResponse)
    async def events(topic: str) -> EventSourceResponse:
        return EventSourceResponse(hub.subscribe(topic))

    async with connect(app, "/a") as a, connect(app, "/b") as b:
        hub.publish(["a", "b"], "both")
        hub.publish("b", "b")
        assert (await a.next()).data == (await b.next()).data == "both"
        assert (await b.next()).data == "b"
        with pytest.raises(TimeoutError):
            await a.next(timeout=0.01)


def test_starlette_s_own_client() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    hub = Hub()
    app = Starlette(
        routes=[
            Route("/finite", lambda request: EventSourceResponse(source())),
            Route("/hub", lambda request: EventSourceResponse(hub.subscribe("t"), max_age=0.1)),
        ],
        lifespan=hub.lifespan,
    )
    with TestClient(app) as client:
        response = client.get("/finite")
        assert [event.data for event in Parser().feed(response.content)] == ["a", "b"]
        assert client.get("/hub").content.startswith(b"retry: 3000\n")
        assert hub.stats().connections == 0


def test_flask_s_own_client() -> None:
    app = Flask("test")

    def source() -> Iterator[str]:
        yield "a"

    @app.get("/")
    def stream() -> Response:
        return FlaskResponse(source())

    response = app.test_client().get("/")
    assert [event.data for event in Parser().feed(response.data)] == ["a"]
