"""`EventSource` and real servers with hubs: nothing is lost, nothing comes twice, and gaps are told."""

from __future__ import annotations

import random
import threading

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from app_thread import serving_here
from http_stream import Address, post, stats
from processes import free_port, running, wait_for
from real_servers import DETACHED, IN_LOOP, SYNC, UVICORN, Server, serving
from ssehub import (
    ClientError,
    ConnectError,
    DisconnectedError,
    Event,
    EventSource,
    Gap,
    Hub,
    Reconnect,
    StreamEndedError,
)
from ssehub.starlette import EventSourceResponse
from support import SOON

QUICK = Reconnect(delay=0.02, min_server_delay=0.02, max_server_delay=0.05)


def url(address: Address, path: str) -> str:
    host, port = address
    return f"http://{host}:{port}{path}"


@pytest.mark.parametrize(
    ("server", "path"), [(UVICORN, DETACHED), (UVICORN, IN_LOOP), (SYNC, DETACHED)], ids=str
)
def test_each_event_once_over_many_reconnects(server: Server, path: str) -> None:
    count = 200
    with serving(server) as (child, address):
        source = EventSource(url(address, path), reconnect=QUICK)
        got: list[str] = []

        def publish() -> None:
            wait_for(lambda: stats(address)["connections"], "a reader")
            for n in range(count):
                post(address, str(n))
                # Cuts a stream that has said where it is. Other restarts may come while it is still connecting.
                if n % 20 == 0:
                    wait_for(lambda n=n: len(got) > n, "the event")  # type: ignore[misc]
                    source.restart()
                elif random.random() < 0.1:
                    source.restart()

        thread = threading.Thread(target=publish)
        thread.start()
        with source:
            for n in range(count):
                got.append(source.get(SOON).data)
                assert got[-1] == str(n)
        thread.join()
        assert stats(address)["opened"] > 5
        wait_for(lambda: not stats(address)["connections"], "the client's leaving, noticed")
        assert "Traceback" not in child.output()


@pytest.mark.parametrize("path", [DETACHED, IN_LOOP])
def test_a_server_that_is_replaced(path: str) -> None:
    """Drained, it says when to come back; the next one does not know the position, and says so."""
    port = free_port()
    address = ("127.0.0.1", port)
    command = [part.format(port=port) for part in UVICORN.command]
    gaps: list[Gap] = []
    errors: list[ClientError] = []
    source = EventSource(
        url(address, path), reconnect=QUICK, on_gap=gaps.append, on_error=errors.append
    )
    got: list[Event] = []
    reader = threading.Thread(target=lambda: got.extend(source))
    ids = []
    for text in ("one", "two"):
        with running(command, url=url(address, "/")) as child:
            if not ids:
                reader.start()
            wait_for(lambda: stats(address)["connections"], "the client is there")
            ids.append(post(address, text))
            wait_for(lambda: len(got) == len(ids), "the event")
            assert child.end() < 5
    source.close()
    reader.join(SOON)
    assert [(event.data, event.id) for event in got] == list(zip(["one", "two"], ids, strict=True))
    assert [(gap.reason, gap.last_event_id) for gap in gaps] == [("unknown", ids[0])]
    # Drained, and then away for a while.
    assert isinstance(errors[0], StreamEndedError)
    assert any(isinstance(error, ConnectError) for error in errors)


def test_a_stream_that_finishes_is_not_run_again() -> None:
    with serving(UVICORN) as (_, address):
        source = EventSource(url(address, "/chat?end"), reconnect=QUICK)
        assert [event.data for event in source] == ["hello"]
        assert source.finished
        assert stats(address)["sources"] == {"open": 1, "ended": 1}


def test_a_stream_that_fails_is_told_and_cut() -> None:
    errors: list[ClientError] = []
    with serving(UVICORN) as (_, address):
        source = EventSource(
            url(address, "/chat?fail"), reconnect=Reconnect(delay=30), on_error=errors.append
        )
        with source:
            assert [source.get(SOON).event, source.get(SOON).event] == ["message", "ssehub:error"]
            with pytest.raises(TimeoutError):
                source.get(0.3)
    (error,) = errors
    assert isinstance(error, DisconnectedError)


def test_heartbeats_keep_a_silent_stream_alive() -> None:
    hub = Hub(heartbeat=0.2)
    app = Starlette(
        routes=[Route("/", lambda _: EventSourceResponse(hub.subscribe("t")))],
        lifespan=hub.lifespan,
    )
    with serving_here(app) as url, EventSource(url, timeout=1.0) as source:
        with pytest.raises(TimeoutError):
            source.get(2.5)
        assert hub.stats().opened == 1
