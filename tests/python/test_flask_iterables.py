"""`ssehub.flask`: iterables as responses."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, abort, g, jsonify, request

from ssehub import ArgumentError, Event, HandoffError, Hub, Parser, StreamInfo
from ssehub.flask import EventSourceResponse
from ssehub.http import ERROR_EVENT, FINISHED_BLOCK
from support import SOON
from wsgi_call import Call, app_for, source_app


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


@pytest.mark.parametrize("how", ["end", "leave", "fail"])
def test_on_close(how: str) -> None:
    told: list[StreamInfo] = []

    def source() -> Iterator[str]:
        yield "one"
        if how == "fail":
            raise RuntimeError("of the source")
        if how == "leave":
            yield "two"
            time.sleep(0.1)

    call = Call(source_app(source, key="k", on_close=told.append))
    if how == "end":
        call.rest()
    elif how == "fail":
        with pytest.raises(RuntimeError, match="of the source"):
            call.rest()
    else:
        call.step()
    call.close()
    call.close()
    [info] = told
    assert (info.key, info.topics, info.events) == ("k", (), 1)
    assert info.reason == {"end": "finished", "leave": "client", "fail": "error"}[how]
