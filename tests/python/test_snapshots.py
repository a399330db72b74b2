"""Snapshot, then stream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
from starlette.applications import Starlette

from asgi_call import Call, app_for, closed, opened
from ssehub import (
    Event,
    History,
    Hub,
)
from support import published


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
    # The snapshot bears the position: whoever is cut before it is told again, and gets another one.
    assert (state.data, gap.id, state.id) == ("state", "", ids[9])
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


async def test_a_sync_snapshot_does_not_stop_the_loop() -> None:
    hub = Hub()
    loop_thread = threading.get_ident()
    token: ContextVar[str] = ContextVar("token")
    token.set("the request's")
    seen = []

    def snapshot() -> Event:
        seen.append((threading.get_ident() != loop_thread, token.get()))
        return Event("state")

    call = Call(with_snapshot(hub, snapshot))
    await call.has("state")
    await call.leave()
    assert seen == [(True, "the request's")]
