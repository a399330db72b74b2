"""`ssehub.flask`: streams in a WSGI server's thread."""

from __future__ import annotations

import gc
import io
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, abort, g, jsonify, request

from ssehub import ArgumentError, Event, HandoffError, History, Hub, Limits, Parser, StreamInfo
from ssehub.flask import EventSourceResponse
from ssehub.http import ERROR_EVENT, FINISHED_BLOCK
from ssehub.testing import connect
from support import SOON, published, threads

SSE = {"accept": "text/event-stream"}


class Call:
    """An application called as a WSGI server does; the test reads the body step by step."""

    def __init__(
        self,
        app: Flask,
        path: str = "/",
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        sock: Any = None,
    ) -> None:
        path, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "test",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in (headers or {}).items():
            environ["HTTP_" + name.upper().replace("-", "_")] = value
        if sock is not None:
            environ["gunicorn.socket"] = sock
        self.body = b""
        self.ended = False
        self._chunks = app(environ, self._start)
        self._iterator = iter(self._chunks)

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status = int(status.split()[0])
        self.header_list = headers
        self.headers = {name.lower(): value for name, value in headers}

    def step(self) -> bytes:
        """The next piece of the body, b"" at its end."""
        try:
            chunk = next(self._iterator)
        except StopIteration:
            self.ended = True
            return b""
        self.body += chunk
        return chunk

    def data(self, count: int) -> list[str | None]:
        """Reads until there are so many events; their data."""
        deadline = time.monotonic() + SOON
        while len(self.events()) < count and not self.ended:
            assert time.monotonic() < deadline
            self.step()
        return [event.data for event in self.events()]

    def rest(self) -> bytes:
        """Reads to the end."""
        while not self.ended:
            self.step()
        return self.body

    def events(self) -> list[Event]:
        return Parser().feed(self.body)

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


def app_for(hub: Hub, *topics: str, **options: Any) -> Flask:
    app = Flask("test")

    @app.route("/", methods=["GET", "POST"])
    def events() -> Response:
        return EventSourceResponse(hub.subscribe(*(topics or ("t",))), **options)

    return app


def source_app(make: Callable[[], Iterable[Any]], **options: Any) -> Flask:
    app = Flask("test")

    @app.route("/", methods=["GET", "POST"])
    def stream() -> Response:
        return EventSourceResponse(make(), **options)

    return app


def closed(hub: Hub) -> dict[str, int]:
    stats = hub.stats()
    assert stats.connections == 0
    return {reason: count for reason, count in stats.closed.items() if count}


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


# Iterables.


def test_the_data_rule_and_the_mark() -> None:
    runs = []

    def source() -> Iterator[Any]:
        runs.append(1)
        yield "text"
        yield b"bytes"
        yield {"a": 1}
        yield None
        yield Event("x", event="e")

    app = source_app(source)
    call = Call(app)
    assert call.rest() == (
        b'data: text\n\ndata: bytes\n\ndata: {"a":1}\n\ndata: null\n\nevent: e\ndata: x\n\n'
        + FINISHED_BLOCK
    )
    call.close()
    again = Call(app, headers={"last-event-id": "ssehub:end"})
    assert (again.status, again.rest(), runs) == (204, b"", [1])
    assert "content-type" not in again.headers
    posted = Call(app, method="POST", headers={"last-event-id": "ssehub:end"})
    assert posted.status == 200
    assert not posted.rest().endswith(FINISHED_BLOCK)
    ever = Call(source_app(source, once=False), headers={"last-event-id": "ssehub:end"})
    assert ever.status == 200
    ever.rest()


def test_the_head_waits_for_the_first_item_a_second_at_most() -> None:
    gate = threading.Event()

    def source() -> Iterator[str]:
        gate.wait(SOON)
        yield "late"

    begin = time.monotonic()
    call = Call(source_app(source))
    assert 0.9 < time.monotonic() - begin < SOON
    assert call.status == 200
    gate.set()
    assert call.data(1) == ["late"]
    call.close()


def test_heartbeats_while_the_source_is_silent() -> None:
    gate = threading.Event()

    def source() -> Iterator[str]:
        yield "a"
        gate.wait(SOON)
        yield "b"

    call = Call(source_app(source, heartbeat=0.05))
    assert call.data(1) == ["a"]
    assert call.step() == b":\n"
    gate.set()
    assert call.data(2) == ["a", "b"]
    call.rest()
    call.close()


@pytest.mark.parametrize("handled", [True, False])
def test_errors_before_the_head_meet_flask_s_handlers(handled: bool) -> None:
    def source() -> Iterator[str]:
        raise KeyError("early")
        yield ""

    app = source_app(source)
    if handled:

        @app.errorhandler(KeyError)
        def handle(error: KeyError) -> tuple[Response, int]:
            return jsonify(missing=str(error)), 404

    call = Call(app)
    assert call.status == (404 if handled else 500)
    assert "event-stream" not in call.headers["content-type"]
    call.rest()
    call.close()


def test_abort_in_the_source() -> None:
    def source() -> Iterator[str]:
        abort(403)
        yield ""

    call = Call(source_app(source))
    assert call.status == 403
    call.close()


def test_a_later_error_is_told_without_details_and_cut(caplog: pytest.LogCaptureFixture) -> None:
    def source() -> Iterator[str]:
        yield "a"
        raise ZeroDivisionError("secret")

    call = Call(source_app(source))
    with caplog.at_level(logging.ERROR), pytest.raises(ZeroDivisionError):
        call.rest()
    assert call.body == b"data: a\n\n" + ERROR_EVENT
    assert not call.ended
    assert "secret" in caplog.text
    assert call.step() == b""
    call.close()


def test_an_item_without_a_form() -> None:
    call = Call(source_app(lambda: [object()]))
    assert call.status == 500
    later = Call(source_app(lambda: ["a", object()]))
    with pytest.raises(TypeError, match="dumps="):
        later.rest()
    assert later.body.endswith(ERROR_EVENT)


def test_a_client_that_leaves_ends_the_source_at_its_next_step() -> None:
    ended = threading.Event()

    def source() -> Iterator[str]:
        try:
            while True:
                yield "x"
                time.sleep(0.005)
        finally:
            ended.set()

    call = Call(source_app(source))
    call.data(3)
    call.close()
    assert ended.wait(SOON)


def test_the_source_runs_in_the_request_s_context() -> None:
    app = Flask("test")
    torn_down = threading.Event()

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        torn_down.set()

    @app.get("/<name>")
    def stream(name: str) -> Response:
        g.user = name

        def source() -> Iterator[str]:
            for _ in range(3):
                yield f"{g.user} {request.path} {request.args['q']}"

        return EventSourceResponse(source())

    calls = {name: Call(app, f"/{name}?q={name}") for name in ("a", "b")}
    for name, call in calls.items():
        assert call.data(3) == [f"{name} /{name} {name}"] * 3
        call.rest()
        call.close()
    assert torn_down.is_set()


def test_backpressure_reaches_the_source() -> None:
    taken = 0

    def source() -> Iterator[str]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield "x"

    call = Call(source_app(source))
    time.sleep(0.1)
    assert taken <= 40
    call.rest()
    assert len(call.events()) == 1000
    call.close()


def test_content() -> None:
    hub = Hub()
    for content in (["a"], ("a",), iter(["a"]), lambda: ["a"]):
        call = Call(source_app(lambda content=content: content))  # type: ignore[misc]
        assert call.data(1) == ["a"]
        call.rest()
        call.close()
    call = Call(source_app(lambda: lambda: hub.subscribe("t")))  # type: ignore[arg-type,return-value]
    assert hub.stats().connections == 1
    call.close()


async def test_what_flask_cannot_stream() -> None:
    async def source() -> Any:
        yield "a"

    with Flask("test").test_request_context():
        for content in ("text", b"bytes", {"a": 1}, None, 5, source()):
            with pytest.raises(TypeError):
                EventSourceResponse(content)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError):
            EventSourceResponse(["a"], handoff="maybe")  # type: ignore[arg-type]


def test_handoff_require() -> None:
    hub = Hub()
    app = app_for(hub, handoff="require")
    app.testing = True
    with pytest.raises(HandoffError):
        Call(app)
    assert hub.stats().connections == 0


def test_flask_s_own_test_client() -> None:
    hub = Hub()
    hub.publish("t", "x")
    app = app_for(hub, max_age=0.1)
    response = app.test_client().get("/", headers={"Last-Event-ID": "none"})
    assert [event.event for event in Parser().feed(response.data)] == ["ssehub:gap", "message"]
    assert response.mimetype == "text/event-stream"
