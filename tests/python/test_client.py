"""`EventSource` as its user sees it: iteration, what is known of a stream, what is sent, how it ends."""

from __future__ import annotations

import asyncio
import base64
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from processes import wait_for
from scripted import Peer, Script, answer, scripted, stream
from ssehub import (
    ArgumentError,
    ClientError,
    ClosedError,
    Event,
    EventSource,
    ReadyState,
    Response,
    StatusError,
)
from support import SOON

TWO = "id: 1\ndata: one\n\nid: 2\nevent: tick\ndata: two\n\n"


@pytest.fixture
def once() -> Iterator[Script]:
    """A stream of two events, and nothing after it."""
    with scripted(stream(TWO), answer(204)) as script:
        yield script


@pytest.fixture
def live() -> Iterator[Script]:
    """A stream of two events that stays open."""
    with scripted(stream(TWO, end=False)) as script:
        yield script


EVENTS = [Event("one", event="message", id="1"), Event("two", event="tick", id="2")]


def test_events_of_a_stream(once: Script) -> None:
    with EventSource(once.url, reconnect=False) as source:
        assert list(source) == EVENTS
    assert not source.finished
    assert source.last_event_id == "2"
    assert source.ready_state is ReadyState.CLOSED


async def test_events_of_a_stream_in_a_task(once: Script) -> None:
    async with EventSource(once.url, reconnect=False) as source:
        assert [event async for event in source] == EVENTS
    assert source.ready_state is ReadyState.CLOSED


def test_comes_back_with_the_last_id_until_there_is_nothing_more(once: Script) -> None:
    source = EventSource(once.url)
    assert list(source) == EVENTS
    assert once.sent("last-event-id") == [None, "2"]
    assert source.finished


def test_json_of_an_event() -> None:
    with scripted(stream('data: {"n": 1}\n\n')) as script:
        (event,) = EventSource(script.url, reconnect=False)
    assert event.json() == {"n": 1}


def test_what_is_known_of_it(live: Script) -> None:
    source = EventSource(live.url)
    assert source.ready_state is ReadyState.CONNECTING
    assert source.response is None
    assert source.last_event_id == ""
    with source:
        assert next(source) == EVENTS[0]
        assert source.ready_state is ReadyState.OPEN
        # The second event came with the first, but was not read.
        assert source.last_event_id == "1"
        assert source.response == Response(200, source.response.headers, live.url, "HTTP/1.1")
        assert source.response.headers["content-type"] == "text/event-stream"
        assert repr(source) == f"<EventSource {live.url} open>"
    assert source.last_event_id == "1"
    assert not source.finished


def test_position_of_a_block_without_data() -> None:
    with scripted(stream("data: one\n\nid: 7\n\n")) as script:
        source = EventSource(script.url, reconnect=False)
        assert next(source).id == ""
        assert list(source) == []
    assert source.last_event_id == "7"


def test_another_source_goes_on_where_one_was_closed(live: Script) -> None:
    with EventSource(live.url) as source:
        next(source)
    with EventSource(live.url, last_event_id=source.last_event_id) as again:
        assert again.last_event_id == "1"
        next(again)
    assert live.sent("last-event-id") == [None, "1"]


def test_a_loop_can_be_left_and_taken_up(live: Script) -> None:
    with EventSource(live.url) as source:
        for event in source:
            assert event == EVENTS[0]
            break
        for event in source:
            assert event == EVENTS[1]
            break


def test_get_waits_for_so_long(live: Script) -> None:
    with EventSource(live.url) as source:
        assert [source.get(SOON), source.get(SOON)] == EVENTS
        with pytest.raises(TimeoutError, match="in time"):
            source.get(0.05)
        with pytest.raises(TimeoutError):
            source.get(0)
    with pytest.raises(ClosedError):
        source.get(1)


async def test_a_cancelled_wait_loses_nothing() -> None:
    go = threading.Event()

    def late(peer: Peer) -> None:
        peer.head()
        assert go.wait(SOON)
        peer.send(TWO)
        peer.stay()

    with scripted(late) as script:
        async with EventSource(script.url) as source:
            events = aiter(source)
            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(anext(events), 0.02)
            go.set()
            assert [await anext(events), await anext(events)] == EVENTS


def test_restart_connects_anew(live: Script) -> None:
    errors: list[ClientError] = []
    with EventSource(live.url, on_error=errors.append) as source:
        assert [next(source), next(source)] == EVENTS
        source.restart()
        assert [next(source), next(source)] == EVENTS
    assert live.sent("last-event-id") == [None, "2"]
    assert errors == []


# How it ends.


def is_left(script: Script) -> Callable[[], bool]:
    """Whether the client has left all connections."""
    return lambda: all(peer.socket.fileno() == -1 for peer in script.peers)


def test_close_ends_a_loop(live: Script) -> None:
    seen = []
    source = EventSource(live.url)
    for event in source:
        seen.append(event)
        source.close()
    # The second event had come, too.
    assert seen == EVENTS[:1]
    assert list(source) == []
    wait_for(is_left(live), "the connection is closed")


def test_close_in_another_thread_ends_a_wait(live: Script) -> None:
    source = EventSource(live.url)
    assert [next(source), next(source)] == EVENTS
    timer = threading.Timer(0.05, source.close)
    timer.start()
    assert list(source) == []
    timer.join()


async def test_close_in_another_task_ends_a_wait(live: Script) -> None:
    source = EventSource(live.url)
    assert [await anext(source), await anext(source)] == EVENTS
    asyncio.get_running_loop().call_later(0.05, source.close)
    assert [event async for event in source] == []
    await source.aclose()


def test_dropped_it_closes(live: Script) -> None:
    for event in EventSource(live.url):
        assert event == EVENTS[0]
        break
    gc.collect()
    wait_for(is_left(live), "the connection is closed")


def test_never_read_it_closes(live: Script) -> None:
    with EventSource(live.url):
        wait_for(lambda: live.peers, "a request")
    wait_for(is_left(live), "the connection is closed")


def test_never_opened_it_asks_for_nothing(live: Script) -> None:
    source = EventSource(live.url)
    source.close()
    assert list(source) == []
    assert live.peers == []


def test_a_failure_is_raised_each_time() -> None:
    with scripted(answer(404)) as script:
        source = EventSource(script.url)
        for _ in range(2):
            with pytest.raises(StatusError):
                next(source)
    assert len(script.peers) == 1
    assert source.ready_state is ReadyState.CLOSED


# What is sent.


def request_of(script: Script, url: str = "", **options: Any) -> Peer:
    with EventSource(url or script.url, reconnect=False, **options) as source:
        list(source)
    return script.peers[-1]


def test_a_plain_request(once: Script) -> None:
    request = request_of(once)
    assert (request.method, request.path, request.body) == ("GET", "/events", b"")
    sent = request.headers
    assert sent.pop("host") in once.url
    assert sent.pop("user-agent").startswith("ssehub/")
    assert sent == {
        "accept": "text/event-stream",
        "cache-control": "no-cache",
        "accept-encoding": "identity",
    }


def test_headers(once: Script) -> None:
    request = request_of(once, headers={"X-A": "ä", "X-B": b"b", "Accept": "*/*"})
    assert request.headers["x-a"] == "ä"
    assert request.headers["x-b"] == "b"
    assert request.headers["accept"] == "*/*"
    request = request_of(once, headers=[("X-A", "1")])
    assert request.headers["x-a"] == "1"


@pytest.mark.parametrize(
    ("given", "query"),
    [
        ({"q": "a b", "n": 1}, "?q=a+b&n=1"),
        ([("q", "a"), ("q", "ü")], "?q=a&q=%C3%BC"),
        ({"q": ["a", "b"]}, "?q=a&q=b"),
        ({}, ""),
    ],
)
def test_params(once: Script, given: Any, query: str) -> None:
    assert request_of(once, params=given).path == f"/events{query}"


def test_params_beside_those_of_the_url(once: Script) -> None:
    request = request_of(once, f"{once.url}?a=1#part", params={"b": 2})
    assert request.path == "/events?a=1&b=2"


def test_json(once: Script) -> None:
    request = request_of(once, method="POST", json={"q": "ä"})
    assert request.method == "POST"
    assert request.body.decode() == '{"q":"ä"}'
    assert request.headers["content-type"] == "application/json"
    typed = request_of(once, method="POST", json=[], headers={"content-type": "text/x"})
    assert typed.headers["content-type"] == "text/x"
    assert typed.body == b"[]"


@pytest.mark.parametrize("content", ["ä", "ä".encode()])
def test_content(once: Script, content: str | bytes) -> None:
    request = request_of(once, method="REPORT", content=content)
    assert (request.method, request.body) == ("REPORT", "ä".encode())


def test_auth(once: Script) -> None:
    basic = "Basic " + base64.b64encode("me:ä".encode()).decode()
    assert request_of(once, auth=("me", "ä")).headers["authorization"] == basic
    assert request_of(once, auth="token").headers["authorization"] == "Bearer token"
    with_user = once.url.replace("//", "//me:%C3%A4@")
    source = EventSource(with_user, reconnect=False)
    list(source)
    assert once.peers[-1].headers["authorization"] == basic
    assert "me" not in repr(source)
    assert source.url == once.url


def test_last_event_id_is_sent_as_utf_8_or_not_at_all(once: Script) -> None:
    assert request_of(once, last_event_id="…").headers["last-event-id"] == "…"
    assert "last-event-id" not in request_of(once, last_event_id="a\nb").headers


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"url": "/relative"}, ArgumentError),
        ({"url": "ftp://localhost/"}, ArgumentError),
        ({"url": "http://user name@/"}, ArgumentError),
        ({"method": "not a method"}, ArgumentError),
        ({"headers": {"a b": "c"}}, ArgumentError),
        ({"headers": {"a": "b\nc"}}, ArgumentError),
        ({"headers": {"a": 1}}, TypeError),
        ({"headers": {"Content-Length": "1"}}, ArgumentError),
        ({"json": {}, "content": b""}, ArgumentError),
        ({"json": float("nan")}, ArgumentError),
        ({"auth": "a", "headers": {"authorization": "b"}}, ArgumentError),
        ({"auth": 1}, TypeError),
        ({"timeout": 0}, ArgumentError),
        ({"timeout": -1}, ArgumentError),
        ({"timeout": "1"}, TypeError),
        ({"connect_timeout": 0}, ArgumentError),
        ({"max_event_size": 0}, ArgumentError),
        ({"reconnect": "always"}, TypeError),
        ({"redirects": 3}, TypeError),
        ({"proxy": True}, TypeError),
        ({"proxy": "nonsense://"}, ArgumentError),
        ({"verify": b"no certificate"}, ArgumentError),
        ({"verify": "/no/such/file"}, FileNotFoundError),
        ({"verify": 1.5}, TypeError),
        ({"cert": b"no certificate"}, ArgumentError),
        ({"stop_on": asyncio.sleep}, TypeError),
    ],
)
def test_what_cannot_work_is_refused_at_once(options: dict[str, Any], error: type) -> None:
    with pytest.raises(error):
        EventSource(**{"url": "http://localhost/", **options})
