"""The engine takes the client's socket from real ASGI servers."""

from __future__ import annotations

import re
import socket
import time
import zlib

import pytest

from handoff_servers import (
    SERVERS,
    SSE,
    UVICORN,
    Server,
    modes,
    no_complaints,
    refusals,
    seen,
    serving,
    uvicorn,
    wait_until_gone,
)
from http_stream import Wire, post, stats
from processes import wait_for
from support import SOON

pytestmark = pytest.mark.timeout(120)
FOUR = SERVERS[:4]


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_detached(server: Server) -> None:
    """Right bytes, resume, the client's leaving, and the end with the server."""
    with serving(server) as (child, address):
        with Wire(address, headers=SSE) as wire:
            assert wire.status == 200
            assert wire.headers["content-type"].startswith("text/event-stream")
            assert wire.headers["connection"] == "close"
            wire.until_body(b"\nid: ")
            assert wire.body.startswith(b"retry: 1000\nid: ")
            first = post(address, "one")
            event = wire.next()
            assert (event.data, event.id) == ("one", first)
            assert modes(address) == {"detached": 1}
            # The request is done with: nothing waits for the stream to end.
            assert seen(address)["released"] == 1
        wait_until_gone(address)
        post(address, "missed 1")
        post(address, "missed 2")
        with Wire(address, headers={**SSE, "Last-Event-ID": first}) as wire:
            assert [wire.next().data, wire.next().data] == ["missed 1", "missed 2"]
            assert modes(address) == {"detached": 1}
        wait_until_gone(address)
        wait_for(lambda: len(seen(address)["closed"]) == 2, "the callbacks")
        found = seen(address)
        assert found["opened"] == ["detached", "detached"]
        assert found["closed"] == [["detached", "client", 1, True], ["detached", "client", 2, True]]

        wires = [Wire(address, headers=SSE) for _ in range(20)]
        wait_for(lambda: modes(address) == {"detached": 20}, "all streams")
        post(address, "last")
        no_complaints(child)
        took = child.end(timeout=8)
        print(f"{server}: SIGTERM with 20 detached streams: {took:.2f} s")
        for wire in wires:
            assert wire.wait_end(), bytes(wire.body)
            assert wire.next().data == "last"
            assert re.search(rb"retry: \d+\n\n$", wire.body), bytes(wire.body)
            wire.close()
        # The promise is 2 s; a machine under load gets more.
        assert took < 6
        no_complaints(child)


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_held(server: Server) -> None:
    """The server keeps the connection: it sees the client leave, ends the response, and may go on with the next."""
    with serving(server) as (child, address):
        with Wire(address, "/events?handoff=hold&own=1", headers=SSE) as wire:
            assert "close" not in wire.headers.get("connection", "")
            wire.until_body(b"\nid: ")
            first = post(address, "one")
            event = wire.next()
            assert (event.data, event.id) == ("one", first)
            assert modes(address) == {"held": 1}
            assert seen(address)["released"] == 0
        wait_until_gone(address)
        wait_for(lambda: seen(address)["released"] == 1, "the end of the request")
        found = seen(address)
        assert found["opened"] == ["held"]
        assert found["closed"] == [["held", "client", 1, True]]
        assert found["own"] == ["client"]

        # Ended by the hub: the connection serves the next request, and one that has been sent ahead of time.
        with Wire(address, "/events?handoff=hold&key=k", headers=SSE) as wire:
            wait_for(lambda: modes(address) == {"held": 1}, "the stream")
            wire.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with Wire(address, "/kick?key=k", method="POST") as kick:
                assert kick.wait_end()
            assert wire.wait_end()
            assert wire.next().data == "bye"
            assert _next_response(wire) == b"ok"
            wire.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert _next_response(wire) == b"ok"
        no_complaints(child)

        wires = [Wire(address, "/events?handoff=hold", headers=SSE) for _ in range(5)]
        wait_for(lambda: modes(address) == {"held": 5}, "all streams")
        took = child.end(timeout=8)
        print(f"{server}: SIGTERM with 5 held streams: {took:.2f} s")
        for wire in wires:
            assert wire.wait_end(), bytes(wire.body)
            wire.close()


def _next_response(wire: Wire) -> bytes:
    """The body of the response that follows on the connection."""
    data = bytes(wire._raw)
    wire._raw.clear()
    deadline = time.monotonic() + SOON
    while not (
        found := re.match(rb"HTTP/1.1 200 .*?\r\n\r\n(ok|2\r\nok\r\n0\r\n\r\n)", data, re.DOTALL)
    ):
        assert time.monotonic() < deadline, data
        data += wire.socket.recv(65536)
    assert found.end() == len(data), data
    return b"ok" if b"ok" in found[1] else b""


@pytest.mark.parametrize("server", [*FOUR[1:3], *SERVERS[4:5], *SERVERS[7:]], ids=str)
@pytest.mark.parametrize("app", ["cors", "gzip", "base", "base2"])
def test_middleware_that_leaves_the_body_alone(server: Server, app: str) -> None:
    headers = {**SSE, "Origin": "http://a.example", "Accept-Encoding": "gzip"}
    with serving(server, app) as (child, address):
        for handoff in ("detach", "hold"):
            path = f"/events?handoff={handoff}&key=k"
            with Wire(address, path, headers=headers) as wire:
                wire.until_body(b"\nid: ")
                if app == "cors":
                    assert wire.headers["access-control-allow-origin"] == "*"
                if app.startswith("base"):
                    assert wire.headers["x-seen"] == "1" * (2 if app == "base2" else 1)
                mode = {"detach": "detached", "hold": "held"}[handoff]
                wait_for(lambda mode=mode: modes(address) == {mode: 1}, "the stream")  # type: ignore[misc]
                post(address, "x")
                assert wire.next().data == "x"
                with Wire(
                    address, "/kick?key=k", method="POST", headers={"Connection": "close"}
                ) as kick:
                    kick.wait_end()
                assert wire.next().data == "bye"
                assert wire.wait_end()
            with Wire(address, path, headers=headers) as wire:
                wait_for(lambda mode=mode: modes(address) == {mode: 1}, "the stream")  # type: ignore[misc]
            wait_until_gone(address)
        assert refusals(address) == {}
        wait_for(lambda: seen(address)["released"] == 4, "the end of all requests")
        no_complaints(child)


@pytest.mark.parametrize("server", [FOUR[0], *SERVERS[3:5], *SERVERS[7:]], ids=str)
@pytest.mark.parametrize("app", ["rewritten", "split", "compressed"])
def test_middleware_that_changes_the_body(server: Server, app: str) -> None:
    """Refused, counted, said once, and served all the same, by the same stream."""
    with serving(server, app) as (child, address):
        for _ in range(2):
            with Wire(address, headers=SSE) as wire:
                wire.until_body(b"\x1f\x8b" if app == "compressed" else b"retry: 1000\n")
                wait_for(lambda: modes(address) == {"in-loop": 1}, "the stream")
                post(address, "one")
                if app == "compressed":
                    packed = len(wire.body)
                    wait_for(lambda: _grows(wire, packed), "the event")  # noqa: B023
                    assert b"data: one\n\n" in zlib.decompressobj(wbits=31).decompress(wire.body)
                else:
                    assert wire.next().data == "one"
                if app == "rewritten":
                    assert wire.body.count(b": seen\n") == 2
            wait_until_gone(address)
        assert refusals(address) == {"body": 2}
        assert seen(address)["opened"] == ["in-loop", "in-loop"]
        assert child.output().count("a stream stays with the app server") == 1
        no_complaints(child)


def _grows(wire: Wire, size: int) -> bool:
    wire._advance(1)
    return len(wire.body) > size


def test_middleware_that_is_one_piece_behind() -> None:
    """What was sent is not on the wire: the server goes on, since nothing else could give out the rest."""
    with serving(UVICORN, "delayed") as (child, address):
        with Wire(address, "/events?heartbeat=0.5", headers=SSE) as wire:
            wait_for(lambda: seen(address)["opened"] == ["in-loop"], "the decision", timeout=15)
            wire.until_body(b"retry: 1000\n")
            post(address, "one")
            assert wire.next().data == "one"
        wait_until_gone(address)
        assert refusals(address) == {"buffered": 1}
        no_complaints(child)


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_an_http_1_0_client(server: Server) -> None:
    with serving(server) as (child, address):
        for handoff in ("detach", "hold"):
            with Wire(
                address, f"/events?handoff={handoff}&key=k", headers=SSE, version="1.0"
            ) as wire:
                wire.until_body(b"id: ")
                assert modes(address) == {{"detach": "detached", "hold": "held"}[handoff]: 1}
                post(address, "x")
                assert wire.next().data == "x"
                with Wire(
                    address, "/kick?key=k", method="POST", headers={"Connection": "close"}
                ) as kick:
                    kick.wait_end()
                assert wire.next().data == "bye"
                assert wire.wait_end()
                assert b"0\r\n" not in wire.body
            wait_until_gone(address)
        no_complaints(child)


@pytest.mark.parametrize("server", [FOUR[0], FOUR[3], SERVERS[4], SERVERS[7]], ids=str)
def test_a_stream_after_other_requests_on_the_same_connection(server: Server) -> None:
    """Keep-alive, and a request that was sent ahead: its response comes first."""
    with (
        serving(server) as (child, address),
        Wire(address, "/", headers={"Connection": "keep-alive"}) as wire,
    ):
        wire.wait_end()
        ahead = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        wire.socket.sendall(ahead + b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        deadline = time.monotonic() + SOON
        while b"retry: 1000" not in data:
            assert time.monotonic() < deadline
            data += wire.socket.recv(65536)
        assert data.startswith(b"HTTP/1.1 200")
        wait_for(lambda: modes(address) == {"detached": 1}, "the stream")
        post(address, "x")
        while b"data: x\n\n\r\n" not in data:
            assert time.monotonic() < deadline
            data += wire.socket.recv(65536)
        no_complaints(child)


@pytest.mark.parametrize("server", [FOUR[1], FOUR[2], SERVERS[4], SERVERS[7]], ids=str)
def test_a_post_stream(server: Server) -> None:
    with serving(server) as (child, address):
        for path in ("/events?read=1", "/events"):
            with Wire(address, path, method="POST", headers=SSE, body=b"x" * 1000) as wire:
                wire.until_body(b"\nid: ")
                wait_for(lambda: modes(address) == {"detached": 1}, "the stream")
                post(address, "x")
                assert wire.next().data == "x"
            wait_until_gone(address)
        # The rest of the body is still to come: whoever took the socket would take it for something else.
        with Wire(address, method="POST", headers={**SSE, "Content-Length": "100000"}) as wire:
            wire.until_body(b"\nid: ")
            assert modes(address) == {"in-loop": 1}
            post(address, "x")
            assert wire.next().data == "x"
        wait_until_gone(address)
        assert refusals(address) == {"method": 1}
        no_complaints(child)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_uvicorn_s_own_protocol_class_shows_what_a_middleware_hides(loop: str) -> None:
    with (
        serving(uvicorn("h11", loop), "hidden") as (_, address),
        Wire(address, headers=SSE) as wire,
    ):
        wire.until_body(b"\nid: ")
        assert modes(address) == {"in-loop": 1}
        assert refusals(address) == {"transport": 1}
    for protocol in ("ssehub.uvicorn:Protocol", "ssehub.uvicorn:H11Protocol"):
        with serving(uvicorn(protocol, loop), "hidden") as (child, address):
            for handoff, mode in (("detach", "detached"), ("hold", "held")):
                with Wire(address, f"/events?handoff={handoff}", headers=SSE) as wire:
                    wire.until_body(b"\nid: ")
                    wait_for(lambda mode=mode: modes(address) == {mode: 1}, "the stream")  # type: ignore[misc]
                    post(address, "x")
                    assert wire.next().data == "x"
                wait_until_gone(address)
            no_complaints(child)


def test_snapshots() -> None:
    """What the engine cannot make is made here, before it takes over."""
    with serving(UVICORN, env={"HISTORY_COUNT": "2"}) as (child, address):
        for size in ("5", "3000000"):
            with Wire(address, f"/events?snapshot={size}", headers=SSE) as wire:
                snapshot = wire.next()
                assert (snapshot.event, len(snapshot.data or "")) == ("snapshot", int(size))
                wait_for(lambda: modes(address) == {"detached": 1}, "the stream")
                last = post(address, "x")
                assert wire.next().data == "x"
            wait_until_gone(address)
        # A clean resume has none; after a gap it comes before the engine does.
        post(address, "y")
        with Wire(address, "/events?snapshot=5", headers={**SSE, "Last-Event-ID": last}) as wire:
            assert wire.next().data == "y"
            wait_for(lambda: modes(address) == {"detached": 1}, "the stream")
        wait_until_gone(address)
        for n in range(5):
            post(address, str(n))
        with Wire(address, "/events?snapshot=5", headers={**SSE, "Last-Event-ID": last}) as wire:
            assert [wire.next().event, wire.next().event] == ["ssehub:gap", "snapshot"]
            wait_for(lambda: modes(address) == {"detached": 1}, "the stream")
            post(address, "z")
            assert wire.next().data == "z"
        assert refusals(address) == {}
        no_complaints(child)


def test_a_client_that_does_not_read() -> None:
    """Its snapshot does not get through: the server goes on waiting for it, as it would anyway."""
    with serving(UVICORN) as (child, address):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(address)
            sock.sendall(b"GET /events?snapshot=20000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_for(lambda: refusals(address) == {"buffered": 1}, "the decision", timeout=15)
            assert modes(address) == {"in-loop": 1}
        wait_until_gone(address)
        no_complaints(child)


def test_require_and_off() -> None:
    with serving(UVICORN) as (_, address):
        with Wire(address, "/events?handoff=require", headers=SSE) as wire:
            wire.until_body(b"\nid: ")
            wait_for(lambda: modes(address) == {"detached": 1}, "the stream")
        wait_until_gone(address)
        with Wire(address, "/events?handoff=off", headers=SSE) as wire:
            wire.until_body(b"\nid: ")
            assert modes(address) == {"in-loop": 1}
            assert "connection" not in wire.headers
        wait_until_gone(address)
        assert refusals(address) == {}
    # Before the head it is an error like any other; after it the response is cut.
    with serving(UVICORN, "hidden") as (child, address):
        with Wire(address, "/events?handoff=require", headers=SSE) as wire:
            assert wire.status == 500
        said = "HandoffError: handoff='require': no socket was found"
        wait_for(lambda: said in child.output(), "the error")
        assert stats(address)["closed"]["error"] == 1
    with serving(UVICORN, "rewritten") as (child, address):
        with Wire(address, "/events?handoff=require", headers=SSE) as wire:
            assert not wire.wait_end()
        said = "HandoffError: handoff='require': a middleware"
        wait_for(lambda: said in child.output(), "the error")
        assert stats(address)["closed"]["error"] == 1
        assert seen(address)["closed"] == [["in-loop", "error", 0, True]]
