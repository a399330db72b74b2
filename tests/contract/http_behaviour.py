"""Behaviours on the way to a stream, and back to it."""

from __future__ import annotations

import asyncio
from functools import partial

from stage import HELLO, Stage, behaviour

JSON_TYPE = {"content-type": "application/json; charset=utf-8"}
JSON_BODY = '{"hello": "world"}'


@behaviour("http/default method and headers")
async def _(stage: Stage) -> None:
    _, stream, _ = await stage.connected()
    request = stream.request
    assert request.method == "GET"
    assert request.headers.get("accept") == "text/event-stream"
    assert request.headers.get("cache-control") == "no-cache"
    assert "last-event-id" not in request.headers


@behaviour("http/204 is the end", needs="204")
async def _(stage: Stage) -> None:
    nothing = stage.server.answers(204)
    await stage.client(nothing.url)
    # Time to come back in, for a client that would.
    await asyncio.sleep(1.2)
    assert len(nothing.requests) == 1


async def follows(stage: Stage, status: int) -> None:
    streams = stage.server.streams()
    redirect = stage.server.answers(status, Location=streams.url)
    client = await stage.client(redirect.url)
    stream = await streams.connection()
    await stream.send(HELLO)
    await client.gets("Hello")


async def refuses(stage: Stage, status: int, headers: dict[str, str]) -> None:
    client = await stage.client(stage.server.answers(status, **headers).url)
    await client.error()


for status in (301, 307):
    behaviour(f"http/follows {status}")(partial(follows, status=status))
    behaviour(f"http/{status} with an empty Location")(
        partial(refuses, status=status, headers={"Location": ""})
    )
    behaviour(f"http/{status} without Location")(partial(refuses, status=status, headers={}))


@behaviour("http/headers", needs="headers")
async def _(stage: Stage) -> None:
    given = {"header-name-1": "value-1", "header-name-2": "value-2"}
    _, stream, _ = await stage.connected(headers=given)
    assert given.items() <= stream.request.headers.items()


async def sends(stage: Stage, method: str) -> None:
    _, stream, _ = await stage.connected(method=method, headers=JSON_TYPE, body=JSON_BODY)
    assert stream.request.method == method
    assert stream.request.headers.get("content-type") == JSON_TYPE["content-type"]
    assert stream.request.body.decode() == JSON_BODY


behaviour("http/POST", needs="post")(partial(sends, method="POST"))
behaviour("http/REPORT", needs="report")(partial(sends, method="REPORT"))


@behaviour("http/Last-Event-Id of the caller", needs="last-event-id")
async def _(stage: Stage) -> None:
    _, stream, _ = await stage.connected(lastEventId="abc")
    assert stream.request.headers.get("last-event-id") == "abc"


# Reconnecting.


@behaviour("reconnection/restart by the caller", needs="restart")
async def _(stage: Stage) -> None:
    streams, stream, client = await stage.connected(initialDelayMs=0)
    await stream.send(HELLO)
    await client.gets("Hello")
    await client.restart()
    second = await streams.connection()
    await second.send("data: Thanks\n\n")
    await client.gets("Thanks")


async def remembers(stage: Stage, second: str | None, expected: str | None) -> None:
    streams, stream, client = await stage.connected(initialDelayMs=0)
    assert "last-event-id" not in stream.request.headers
    await stream.send(f"id: abc\n{HELLO}")
    await client.gets("Hello", id="abc")
    if second is not None:
        await stream.send(second)
        assert (await client.event())["data"] == "World"
    stream.end()
    again = await streams.connection()
    assert again.request.headers.get("last-event-id") == expected


behaviour("reconnection/sends the last id")(partial(remembers, second=None, expected="abc"))
behaviour("reconnection/sends the last id, of an earlier event")(
    partial(remembers, second="data: World\n\n", expected="abc")
)
behaviour("reconnection/sends no id that was reset")(
    partial(remembers, second="id: \ndata: World\n\n", expected=None)
)


@behaviour("reconnection/sends the body again", needs="post")
async def _(stage: Stage) -> None:
    streams, stream, _ = await stage.connected(
        initialDelayMs=0, method="POST", headers=JSON_TYPE, body=JSON_BODY
    )
    stream.end()
    again = await streams.connection()
    assert again.request.method == "POST"
    assert again.request.body.decode() == JSON_BODY


@behaviour("reconnection/read timeout", needs="read-timeout")
async def _(stage: Stage) -> None:
    streams, stream, client = await stage.connected(initialDelayMs=0, readTimeoutMs=500)
    await stream.send(HELLO)
    await client.gets("Hello")
    await client.error()
    await streams.connection()


@behaviour("reconnection/drops what was unfinished")
async def _(stage: Stage) -> None:
    streams, stream, client = await stage.connected(initialDelayMs=0)
    await stream.send(f"id: abc\n{HELLO}id: def\ndata: Goodbye")
    await client.gets("Hello", id="abc")
    stream.end()
    client.may_fail()
    again = await streams.connection()
    await again.send("data: We meet again\n\n")
    event = await client.event()
    assert event["data"] == "We meet again"
    assert event["id"] != "def"


@behaviour("reconnection/a new connection works")
async def _(stage: Stage) -> None:
    streams, stream, client = await stage.connected(initialDelayMs=0)
    await stream.send(f"id: abc\n{HELLO}")
    await client.gets("Hello", id="abc")
    stream.end()
    client.may_fail()
    again = await streams.connection()
    await again.send("id: def\ndata: World\n\n")
    await client.gets("World", id="def")
