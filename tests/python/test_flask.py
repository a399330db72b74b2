"""`ssehub.flask`: a hub's streams in a WSGI server's thread."""

from __future__ import annotations

import gc
import socket
import time

import pytest
from flask import Flask, Response

from ssehub import Event, History, Hub, Limits, StreamInfo
from ssehub.flask import EventSourceResponse
from ssehub.testing import connect
from support import SOON, published, threads
from wsgi_call import SSE, Call, app_for, closed


def test_a_stream() -> None:
    hub = Hub(retry=1234)
    call = Call(app_for(hub))
    assert hub.stats().connections == 1
    assert call.status == 200
    assert call.headers == {
        "content-type": "text/event-stream",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
    }
    epoch = hub.last_event_id.partition("-")[0]
    assert call.step() == f"retry: 1234\nid: {epoch}-0\n\n".encode()
    id = hub.publish_wait("t", {"a": 1}, event="e")
    assert call.step() == f'id: {id}\nevent: e\ndata: {{"a":1}}\n\n'.encode()
    published(hub, 3)
    assert call.step().count(b"data: ") == 3
    call.close()
    call.close()
    assert closed(hub) == {"client": 1}


async def test_through_the_testing_client() -> None:
    hub = Hub()
    async with connect(app_for(hub), "/") as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        hub.publish("t", "x")
        assert (await stream.next(timeout=5)).data == "x"
        with pytest.raises(TimeoutError):
            await stream.next(timeout=0.01)
        last = stream.last_event_id
    assert closed(hub) == {"client": 1}
    hub.publish("t", "missed")
    async with connect(app_for(hub), "/", headers={"Last-Event-ID": last}) as stream:
        assert (await stream.next(timeout=5)).data == "missed"
        hub.close()
        with pytest.raises(EOFError):
            await stream.next(timeout=5)


def test_publishing_wakes_a_waiting_body() -> None:
    hub = Hub()
    call = Call(app_for(hub))
    call.step()

    def publish() -> None:
        time.sleep(0.05)
        hub.publish("t", "x")

    with threads(publish):
        assert call.data(1) == ["x"]
    call.close()


def test_a_body_that_is_never_read_is_freed() -> None:
    hub = Hub()
    Call(app_for(hub)).close()
    assert closed(hub) == {"client": 1}
    call = Call(app_for(hub))
    assert hub.stats().connections == 1
    del call
    gc.collect()
    assert closed(hub) == {"client": 2}


def test_a_client_that_leaves_an_idle_stream_is_noticed() -> None:
    hub = Hub()
    ours, theirs = socket.socketpair()
    with ours:
        call = Call(app_for(hub), sock=ours)
        call.step()
        theirs.close()
        begin = time.monotonic()
        assert call.step() == b""
        assert time.monotonic() - begin < SOON
    assert closed(hub) == {"client": 1}


def test_a_pipelined_request_is_not_a_client_that_has_left() -> None:
    hub = Hub()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
        call = Call(app_for(hub, heartbeat=1.2), sock=ours)
        call.step()
        # It outlives the look at the socket, which takes nothing off it.
        assert call.step() == b":\n"
        assert ours.recv(3) == b"GET"
        call.close()


def test_head() -> None:
    hub = Hub()
    call = Call(app_for(hub), method="HEAD")
    assert (call.status, call.rest()) == (200, b"")
    assert call.headers["content-type"] == "text/event-stream"
    assert hub.stats().opened == 0
    call.close()


def test_resume_by_header_and_query() -> None:
    hub = Hub()
    ids = published(hub, 5)
    for path, headers in [
        ("/", {"last-event-id": ids[2]}),
        (f"/?lastEventId={ids[2]}", {}),
        (f"/?lastEventId={ids[0]}", {"last-event-id": ids[2]}),
    ]:
        call = Call(app_for(hub), path, headers=headers)
        assert call.data(2) == ["3", "4"]
        call.close()
    unknown = Call(app_for(hub), headers={"last-event-id": "\xff"})
    unknown.data(1)
    assert unknown.events()[0].json()["reason"] == "unknown"
    unknown.close()


def test_headers_of_the_user_win() -> None:
    hub = Hub()
    app = Flask("test")

    @app.get("/")
    def events() -> Response:
        headers = {"Cache-Control": "private", "X-Own": "1"}
        response = EventSourceResponse(hub.subscribe("t"), 201, headers)
        response.set_cookie("a", "b")
        return response

    @app.after_request
    def after(response: Response) -> Response:
        response.headers["X-After"] = "2"
        return response

    call = Call(app)
    assert call.status == 201
    names = [name.lower() for name, _ in call.header_list]
    assert len(names) == len(set(names))
    assert call.headers["cache-control"] == "private"
    assert (call.headers["x-own"], call.headers["x-after"]) == ("1", "2")
    assert call.headers["set-cookie"].startswith("a=b")
    assert "content-length" not in call.headers
    call.close()


def test_snapshot() -> None:
    hub = Hub(history=History(count=2))
    ids = published(hub, 10)
    app = app_for(hub, snapshot=lambda: [Event({"board": 7}, event="snapshot"), "more"])
    fresh = Call(app)
    assert fresh.data(2) == ['{"board":7}', "more"]
    assert fresh.events()[-1].id == ids[-1]
    clean = Call(app, headers={"last-event-id": ids[-1]})
    late = Call(app, headers={"last-event-id": ids[0]})
    assert late.data(3)[1:] == ['{"board":7}', "more"]
    assert late.events()[0].event == "ssehub:gap"
    hub.publish("t", "live")
    for call, expected in ((fresh, 3), (clean, 1), (late, 4)):
        assert call.data(expected)[-1] == "live"
        assert len(call.events()) == expected
        call.close()


def test_an_error_of_a_first_snapshot_goes_to_flask() -> None:
    hub = Hub()
    app = app_for(hub, snapshot=lambda: 1 / 0)

    @app.errorhandler(ZeroDivisionError)
    def handle(error: Exception) -> tuple[str, int]:
        return "handled", 418

    call = Call(app)
    assert (call.status, call.rest()) == (418, b"handled")
    call.close()
    assert closed(hub) == {"error": 1}


def test_heartbeat_and_max_age() -> None:
    hub = Hub()
    call = Call(app_for(hub, heartbeat=0.02, max_age=0.3))
    assert call.rest().count(b":\n") >= 2
    call.close()
    assert closed(hub) == {"max_age": 1}


def test_expires_at() -> None:
    hub = Hub()
    call = Call(app_for(hub, expires_at=time.time() + 0.1))
    call.rest()
    call.close()
    assert closed(hub) == {"expired": 1}


def test_disconnect_and_drain() -> None:
    hub = Hub(retry=1000)
    kicked, drained = Call(app_for(hub, key="a")), Call(app_for(hub, key="b"))
    assert hub.disconnect(key="a", event=Event("bye", event="logout")) == 1
    assert kicked.rest().endswith(b"event: logout\ndata: bye\n\n")
    hub.publish("t", "last")
    hub.start_drain()
    assert b"data: last\n\n" in drained.rest()
    assert 1000 <= int(drained.body.rpartition(b"retry: ")[2]) <= 2000
    for call in (kicked, drained):
        call.close()
    assert closed(hub) == {"kick": 1, "drain": 1}


def test_a_worker_that_stops_does_not_wait_for_who_takes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread that would notice is the one that waits for the client."""
    hub = Hub()
    client, server = socket.socketpair()
    with client, server:
        call = Call(app_for(hub), sock=server)
        call.step()
        monkeypatch.setattr("ssehub.stalled.DRAIN_TIMEOUT", 0.0)
        monkeypatch.setattr("ssehub.wsgi.subscription.is_stopping", lambda: True)
        client.settimeout(SOON)
        assert client.recv(1) == b""
        call.close()
    assert closed(hub) == {"drain": 1}


def test_limits_and_refusals() -> None:
    hub = Hub(limits=Limits(connections=1), retry=1000)
    held = Call(app_for(hub))
    browser = Call(app_for(hub), headers=SSE)
    assert browser.status == 200
    assert 1000 <= int(browser.rest().removeprefix(b"retry: ")) <= 2000
    script = Call(app_for(hub))
    assert (script.status, script.rest()) == (429, b"")
    assert 1 <= int(script.headers["retry-after"]) <= 2
    strict = Call(app_for(hub, refuse="status"), headers=SSE)
    assert strict.status == 429
    held.close()
    hub.start_drain()
    draining = Call(app_for(hub))
    assert draining.status == 503
    assert hub.stats().refused == 4


def test_limit_per_key_closes_the_oldest() -> None:
    hub = Hub(limits=Limits(connections_per_key=1))
    first, second = Call(app_for(hub, key="k")), Call(app_for(hub, key="k"))
    first.rest()
    first.close()
    hub.publish("t", "x")
    assert second.data(1) == ["x"]
    second.close()
    assert closed(hub) == {"client": 1, "kick": 1}


def test_callbacks() -> None:
    hub = Hub()
    seen: list[tuple[str, StreamInfo]] = []
    hub.on_open(lambda info: seen.append(("open", info)))
    hub.on_close(lambda info: seen.append(("close", info)))
    app = app_for(hub, key="k", on_close=lambda info: seen.append(("mine", info)))
    call = Call(app)
    hub.publish("t", "x")
    call.data(1)
    call.close()
    assert [name for name, _ in seen] == ["open", "close", "mine"]
    info = seen[1][1]
    assert (info.key, info.topics, info.reason, info.events) == ("k", ("t",), "client", 1)


def test_background_and_teardown() -> None:
    hub, order = Hub(), []
    app = app_for(hub, background=lambda: order.append("background"))

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        order.append("teardown")

    call = Call(app)
    call.step()
    call.close()
    assert sorted(order) == ["background", "teardown"]
