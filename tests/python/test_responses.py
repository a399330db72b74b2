"""What a response is made of, and what it tells of its stream."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from starlette.background import BackgroundTask

from asgi_call import Call, app_for, opened
from ssehub import (
    ArgumentError,
    HandoffError,
    Hub,
    Limits,
    StreamInfo,
    Subscription,
)
from ssehub.starlette import EventSourceResponse
from support import eventually, published


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
    assert access.getMessage().startswith("/ client in-loop ")


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
    """No socket is to be found here. Where there is one: `test_handoff_asgi.py`."""
    hub = Hub()
    for handoff, refused in (("off", {}), ("detach", {"transport": 1}), ("hold", {"transport": 2})):
        call = Call(app_for(hub, handoff=handoff))
        await opened(hub)
        await call.leave()
        assert hub.stats().handoffs_refused == refused
    call = Call(EventSourceResponse(hub.subscribe("t"), handoff="require"))
    with pytest.raises(HandoffError, match="no socket was found"):
        await call.end()
    assert hub.stats().connections == 0
    assert hub.stats().closed["error"] == 1


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


async def test_callbacks_may_publish() -> None:
    """Presence: who comes and who goes is news for the others."""
    hub = Hub()
    hub.on_open(lambda info: hub.publish("t", f"{info.key} in"))
    hub.on_close(lambda info: hub.publish("t", f"{info.key} out"))
    first = Call(app_for(hub, key="a"))
    await first.has("a in")
    second = Call(app_for(hub, key="b"))
    await second.has("b in")
    await second.leave()
    await first.has("a in", "b in", "b out")
    await first.leave()


async def test_async_callbacks_are_awaited(caplog: pytest.LogCaptureFixture) -> None:
    hub, seen = Hub(), []

    @hub.on_open
    async def on_open(info: StreamInfo) -> None:
        await asyncio.sleep(0)
        seen.append(("open", info.key))

    async def on_close(info: StreamInfo) -> None:
        await asyncio.sleep(0)
        seen.append(("close", info.key))
        raise RuntimeError("of the callback")

    call = Call(app_for(hub, key="k", on_close=on_close))
    await opened(hub)
    await call.leave()
    await eventually(lambda: len(seen) == 2)
    assert seen == [("open", "k"), ("close", "k")]
    await eventually(lambda: "a callback for streams failed" in caplog.text)
