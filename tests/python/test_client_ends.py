"""How an `EventSource` ends, and what its limits are."""

from __future__ import annotations

import gzip
import time
from typing import Any

import pytest

from client_scenes import DONE, OK, QUICK, A, B, data, failure, read
from processes import wait_for
from scripted import Peer, Scene, answer, cut, scripted, stream
from ssehub import (
    ClientError,
    ContentTypeError,
    DecodeError,
    DisconnectedError,
    Event,
    EventSource,
    EventTooLargeError,
    OversizedEventError,
    ProtocolError,
    StatusError,
    StreamTimeoutError,
    UnfinishedError,
)

# The end of a stream.


def test_stop_on_text() -> None:
    with scripted(stream(A, "data: [DONE]\n\n", B, end=False)) as script:
        source = EventSource(script.url, stop_on="[DONE]")
        assert data(source) == ["a"]
    assert source.finished


def test_stop_on_a_predicate() -> None:
    with scripted(stream(A, "event: end\nid: 7\n", B, "id: 8\n", A, end=False)) as script:
        source = EventSource(script.url, stop_on=lambda event: event.event == "end")
        assert data(source) == ["a", "b"]
    assert source.finished
    # And not the one of the event behind it.
    assert source.last_event_id == "7"


async def test_stop_on_a_predicate_in_a_task() -> None:
    with scripted(stream(A, B, A, end=False)) as script:
        source = EventSource(script.url, stop_on=lambda event: event.data == "b")
        assert [event.data async for event in source] == ["a", "b"]
        assert source.finished


def test_a_predicate_that_fails_ends_it() -> None:
    def judge(event: Event) -> bool:
        raise ZeroDivisionError

    with scripted(stream(A, B, end=False)) as script:
        source = EventSource(script.url, stop_on=judge)
        with pytest.raises(ZeroDivisionError):
            next(source)
        assert list(source) == []


@pytest.mark.parametrize("scene", [OK, cut(A)])
def test_a_stream_without_its_mark_is_an_error(scene: Scene) -> None:
    with scripted(scene) as script:
        source = EventSource(script.url, method="POST", stop_on="[DONE]")
        assert next(source).data == "a"
        with pytest.raises(UnfinishedError if scene is OK else DisconnectedError):
            next(source)
    assert not source.finished


@pytest.mark.parametrize("stop_on", ["[DONE]", lambda event: event.event == "end"])
def test_that_is_up_to_you(stop_on: Any) -> None:
    got, _ = read(OK, method="POST", stop_on=stop_on, require_finish=False)
    assert got == ["a"]
    # Without a mark an end is an end, unless you know better.
    assert read(OK, method="POST")[0] == ["a"]
    failure(UnfinishedError, OK, method="POST", require_finish=True)


def test_a_mark_is_waited_for_over_reconnects() -> None:
    got, _ = read(OK, stream("data: [DONE]\n\n"), stop_on="[DONE]", reconnect=QUICK)
    assert got == ["a"]


# Limits.


def test_silence_is_a_reason_to_come_back() -> None:
    def silent(peer: Peer) -> None:
        peer.head()
        peer.send(A)
        for _ in range(4):
            time.sleep(0.1)
            peer.send(":\n")
        peer.stay()

    errors: list[ClientError] = []
    got, _ = read(silent, DONE, timeout=0.3, reconnect=QUICK, on_error=errors.append)
    assert got == ["a"]
    assert [type(error) for error in errors] == [StreamTimeoutError]
    assert isinstance(errors[0], TimeoutError)


def test_a_head_that_does_not_come() -> None:
    failure(StreamTimeoutError, Peer.stay, timeout=0.1, reconnect=False)


def test_a_connection_that_does_not_stand() -> None:
    # Nobody answers there: TEST-NET-1.
    with pytest.raises((StreamTimeoutError, ConnectionError)):
        data(EventSource("http://192.0.2.1/", connect_timeout=0.1, reconnect=False, proxy=False))


def test_an_event_over_the_limit() -> None:
    big = f"data: {'x' * 2000}\n\n"
    assert read(stream(big), DONE, max_event_size=2100)[0] == ["x" * 2000]
    error = failure(OversizedEventError, stream(A, big), max_event_size=1000)
    assert isinstance(error, EventTooLargeError)
    assert not error.is_retryable


def test_a_decompressed_event_over_the_limit() -> None:
    bomb = gzip.compress(b"data: " + bytes(50 << 20))
    bombs = scripted(stream(bomb, Content_Encoding="gzip"))
    with bombs as script, pytest.raises(OversizedEventError):
        data(EventSource(script.url, compression=True, max_event_size=1 << 20))
    assert script.sent("accept-encoding") == ["gzip, br, zstd"]


def test_compressed_streams() -> None:
    packed = gzip.compress((A + B).encode())
    assert read(stream(packed, Content_Encoding="gzip"), reconnect=False)[0] == ["a", "b"]
    failure(DecodeError, stream(b"nonsense", Content_Encoding="gzip"), reconnect=False)
    failure(DecodeError, stream(b"nonsense", Content_Encoding="deflate"), reconnect=False)


@pytest.mark.parametrize("coding", ["none", "utf-8", "unheard-of"])
def test_what_is_no_coding_is_passed_over(coding: str) -> None:
    assert read(stream(A, Content_Encoding=coding), reconnect=False)[0] == ["a"]


def test_a_refusal_is_one_whatever_it_is_encoded_with() -> None:
    busy = answer(503, "busy", Content_Encoding="deflate", Retry_After="0")
    assert read(busy, stream(A), DONE)[0] == ["a"]


@pytest.mark.parametrize(
    "kind", ["text/event-stream;charset=utf-8", "Text/Event-Stream", "text/event-stream;"]
)
def test_content_types(kind: str) -> None:
    assert read(stream(A, Content_Type=kind), reconnect=False)[0] == ["a"]


@pytest.mark.parametrize("kind", ["text/html", "text/event-streams", "", "a text/event-stream"])
def test_other_content_types(kind: str) -> None:
    page = answer(200, "<html>", Content_Type=kind)
    error = failure(ContentTypeError, page)
    assert (error.status, error.body) == (200, b"<html>")
    assert read(page, check_content_type=False, reconnect=False)[0] == []


def test_the_body_of_a_refusal_is_kept_up_to_a_limit() -> None:
    assert failure(StatusError, answer(404, "x" * 65_536)).body == b"x" * 65_536
    assert failure(StatusError, answer(404, "x" * 65_535 + "yz")).body == b"x" * 65_535 + b"y"


def test_no_http() -> None:
    def nonsense(peer: Peer) -> None:
        peer.send("220 mail.example.com ESMTP\r\n\r\n")

    failure(ProtocolError, nonsense, reconnect=False)


# Backpressure.


def test_reading_stops_while_nobody_takes() -> None:
    sent = 0
    blocked = False

    def flood(peer: Peer) -> None:
        nonlocal sent, blocked
        peer.head()
        peer.socket.settimeout(0.5)
        block = (f"data: {'x' * 1000}\n\n" * 100).encode()
        try:
            while sent < 200 << 20:
                sent += peer.socket.send(block)
        except TimeoutError:
            blocked = True
        peer.socket.settimeout(10)
        peer.socket.close()

    with scripted(flood) as script, EventSource(script.url, reconnect=False) as source:
        next(source)
        wait_for(lambda: blocked, "the server cannot send any more", timeout=20)
        # What the system buffers, and a bit.
        assert sent < 32 << 20
