"""The hand-off in a real server, as the application sees it from inside."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any

import pytest

from asgi_inside import ask, serving
from ssehub import Event, HandoffError, Hub, StreamInfo, _ssehub
from ssehub.handoff import asgi as handoff
from ssehub.options import Handoff
from ssehub.starlette import EventSourceResponse
from support import eventually


async def test_a_client_that_leaves_while_the_server_is_watched() -> None:
    """A middleware holds the body back. All is as it was, and told once."""
    hub, told, cycles = Hub(), [], []
    hub.on_open(lambda info: told.append(("open", info.mode)))
    hub.on_close(lambda info: told.append((info.reason, info.mode)))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def hold_back(message: Any) -> None:
            if message["type"] == "http.response.start":
                await send(message)

        cycle = receive.__self__
        cycles.append((cycle, cycle.transport))
        await EventSourceResponse(hub.subscribe("t"))(scope, receive, hold_back)

    async with serving(app) as address:
        reader, writer = await ask(address)
        await reader.readuntil(b"\r\n\r\n")
        ((cycle, transport),) = cycles
        assert cycle.transport is not transport, "watched"
        assert handoff.find_transport({}, cycle.receive, cycle.send) is transport
        writer.close()
        await eventually(lambda: len(told) == 2)
        assert cycle.transport is transport
    assert told == [("open", "in-loop"), ("client", "in-loop")]
    assert hub.stats().handoffs_refused == {}


@pytest.mark.parametrize("way", ["detach", "hold", "off"])
async def test_a_stream_that_is_ended_as_soon_as_it_has_begun(way: Handoff) -> None:
    """It gets what was published before that, whoever writes it."""
    hub = Hub()

    @hub.on_open
    def on_open(info: StreamInfo) -> None:
        hub.publish("t", "last")
        assert hub.disconnect(topic="t", event=Event(data="bye")) == 1
        hub.publish("t", "never")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await EventSourceResponse(hub.subscribe("t"), handoff=way)(scope, receive, send)

    async with serving(app) as address:
        reader, writer = await ask(address)
        text = await reader.readuntil(b"\r\n0\r\n\r\n")
        assert re.findall(rb"data: (\w+)\n", text) == [b"last", b"bye"]
        writer.close()
        await eventually(lambda: hub.stats().closed["kick"] == 1)


async def test_a_hand_over_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine has not got it: the stream goes on as if nothing had happened."""
    hub = Hub()

    def used() -> _ssehub.Slot:
        slot = _ssehub.Slot()
        slot.close()
        return slot

    monkeypatch.setattr(handoff, "_ssehub", type("_", (), {"Slot": staticmethod(used)}))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await EventSourceResponse(hub.subscribe("t"))(scope, receive, send)

    async with serving(app) as address:
        reader, writer = await ask(address)
        await reader.readuntil(b"\n\n\r\n")
        hub.publish("t", "x")
        assert b"data: x\n\n" in await reader.readuntil(b"\n\n\r\n")
        assert hub.stats().connections_by_mode["in-loop"] == 1
        assert hub.stats().handoffs_refused == {"error": 1}
        writer.close()
        await eventually(lambda: hub.stats().closed["client"] == 1)


async def test_a_held_stream_whose_request_is_cancelled() -> None:
    hub, told, tasks = Hub(), [], []
    hub.on_close(lambda info: told.append((info.reason, info.mode)))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(asyncio.current_task())
        response = EventSourceResponse(hub.subscribe("t"), handoff="hold")
        with suppress(asyncio.CancelledError):
            await response(scope, receive, send)

    async with serving(app) as address:
        reader, writer = await ask(address)
        await eventually(lambda: hub.stats().connections_by_mode["held"])
        (task,) = tasks
        assert task is not None
        task.cancel()
        await eventually(lambda: told)
        assert told == [("client", "held")]
        await reader.read()
        writer.close()
        await eventually(lambda: not hub.stats().connections)


async def test_a_callable_s_own_on_close_and_async_callbacks_run_in_the_loop() -> None:
    hub, told = Hub(), []
    loop = asyncio.get_running_loop()

    @hub.on_close
    async def on_close(info: StreamInfo) -> None:
        await asyncio.sleep(0)
        told.append(("hub", info.mode, asyncio.get_running_loop() is loop))

    async def own(info: StreamInfo) -> None:
        told.append(("own", info.mode, asyncio.get_running_loop() is loop))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await EventSourceResponse(hub.subscribe("t"), on_close=own, key="k")(scope, receive, send)

    async with serving(app) as address:
        reader, writer = await ask(address)
        await eventually(lambda: hub.stats().connections_by_mode["detached"])
        hub.disconnect(key="k", event=Event("bye"))
        assert b"data: bye\n\n" in await reader.read()
        writer.close()
        await eventually(lambda: len(told) == 2)
    assert sorted(told) == [("hub", "detached", True), ("own", "detached", True)]


async def test_require_before_the_head_meets_the_framework() -> None:
    hub, errors = Hub(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["http_version"] = "2"
        try:
            await EventSourceResponse(hub.subscribe("t"), handoff="require")(scope, receive, send)
        except HandoffError as error:
            errors.append(str(error))
            await send({"type": "http.response.start", "status": 418, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    async with serving(app) as address:
        reader, writer = await ask(address)
        assert b" 418 " in await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert errors
    assert "HTTP/2" in errors[0]
