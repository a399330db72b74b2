"""How a hub ends streams: times, kicks, drains, slow clients; and how it refuses them."""

from __future__ import annotations

import asyncio
import datetime
import time
from typing import Any

import pytest

from asgi_call import SSE, Call, app_for, closed, opened
from ssehub import (
    ClosedError,
    Event,
    Hub,
    Limits,
)
from support import eventually


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


async def test_disconnect_comes_after_what_was_published_before_it() -> None:
    hub = Hub()
    call = Call(app_for(hub, key="k"))
    await opened(hub)
    hub.publish("t", "first")
    await call.has("first")
    # Within one turn of the loop.
    hub.publish("t", "before")
    assert hub.disconnect(key="k") == 1
    hub.publish("t", "after")
    await call.end()
    assert call.data() == ["first", "before"]


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
