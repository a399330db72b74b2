"""`handoff="hold"` under WSGI: the engine writes, the server's thread waits and ends the response."""

from __future__ import annotations

import re
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from handoff_servers import APPS, SSE, modes, no_complaints, refusals
from http_stream import Wire, post, stats
from processes import running, wait_for
from wsgi_servers import (
    GEVENT,
    GTHREAD,
    RUNSERVER,
    SERVERS,
    SYNC,
    WAITRESS,
    WERKZEUG,
    Server,
    read_until,
    serving,
    told,
    wait_refused,
    wait_told,
)

pytestmark = pytest.mark.timeout(120)
# Those that can answer while a stream is held.
MANY = [GTHREAD, GEVENT, WERKZEUG, WAITRESS, RUNSERVER]
PATH = "/events?handoff=hold&key=k&own=1"


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize("server", MANY, ids=str)
def test_held(server: Server, reset: bool) -> None:
    """Right bytes; the server writes the end; it hears of a client that leaves."""
    with serving(server) as (child, address):
        with Wire(address, PATH, headers=SSE) as wire:
            wire.until_body(b"\nid: ")
            wait_for(lambda: modes(address) == {"held": 1}, "the hand-off")
            first = post(address, "one")
            event = wire.next()
            assert (event.data, event.id) == ("one", first)
            post(address, "", "/kick?key=k")
            assert wire.wait_end()
        # The server is free for the next one before everybody has been told of this one's end.
        wait_told(address, *_held_and_kicked())
        with Wire(address, PATH, headers={**SSE, "Last-Event-ID": first}) as wire:
            wait_for(lambda: modes(address) == {"held": 1}, "the hand-off")
            post(address, "two")
            assert wire.next().data == "two"
            if reset:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_told(
            address,
            *_held_and_kicked(),
            ["open", "held", ""],
            ["close", "held", "client"],
            ["own", "held", "client"],
        )
        assert refusals(address) == {}
        no_complaints(child)


@pytest.mark.parametrize("server", [GTHREAD, GEVENT], ids=str)
def test_the_connection_is_used_again(server: Server) -> None:
    with serving(server) as (child, address):
        with Wire(address, PATH, headers=SSE) as wire:
            assert wire.headers["connection"] == "keep-alive"
            wait_for(lambda: modes(address) == {"held": 1}, "the hand-off")
            post(address, "", "/kick?key=k")
            assert wire.wait_end()
            request = f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            for _ in range(3):
                wire.socket.sendall(request)
                read_until(wire.socket, b"\nid: ")
                wait_for(lambda: modes(address) == {"held": 1}, "the hand-off")
                post(address, "", "/kick?key=k")
                read_until(wire.socket, b"0\r\n\r\n")
        no_complaints(child)


@pytest.mark.parametrize("server", [SYNC, GTHREAD, GEVENT], ids=str)
def test_the_server_is_told_to_stop(server: Server) -> None:
    with serving(server) as (child, address), ExitStack() as stack:
        wires = [stack.enter_context(Wire(address, PATH, headers=SSE)) for _ in range(server.holds)]
        for wire in wires:
            wire.until_body(b"\nid: ")
        if server is not SYNC:
            wait_for(lambda: modes(address) == {"held": server.holds}, "all streams")
        took = child.end()
        print(f"{server}: SIGTERM with held streams: {took:.2f} s")
        for wire in wires:
            assert wire.wait_end(), bytes(wire.body)
            assert re.search(rb"retry: \d+\n\n$", wire.body), bytes(wire.body)
        assert child.output().count("told own held drain") == server.holds
        no_complaints(child)


@pytest.mark.parametrize(("handoff", "mode"), [("hold", "held"), ("detach", "detached")])
@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_a_client_that_takes_nothing(server: Server, handoff: str, mode: str) -> None:
    """Its thread gets free, if it had one."""
    with serving(server) as (child, address):
        with Wire(address, f"/events?handoff={handoff}&publish=60", headers=SSE) as wire:
            wire.until_body(b"\nid: ")
            wait_told(address, ["open", mode, ""], ["close", mode, "slow"])
            wire.wait_end()
        no_complaints(child)


@pytest.mark.parametrize("server", MANY, ids=str)
def test_http_1_0(server: Server) -> None:
    """The end of the connection is the body's, unless the server sends chunks to whoever asks."""
    with serving(server) as (child, address):
        with Wire(address, PATH, headers=SSE, version="1.0") as wire:
            wait_for(lambda: modes(address) == {"held": 1}, "the hand-off")
            post(address, "one")
            assert wire.next().data == "one"
            post(address, "", "/kick?key=k")
            assert wire.wait_end()
            assert ("transfer-encoding" in wire.headers) == (server is WERKZEUG)
            assert wire.socket.recv(10) == b"", "no connection is kept for those"
        wait_told(address, *_held_and_kicked())
        no_complaints(child)


def _held_and_kicked() -> list[list[str]]:
    return [["open", "held", ""], ["close", "held", "kick"], ["own", "held", "kick"]]


@pytest.mark.parametrize("server", [SYNC, GTHREAD, GEVENT], ids=str)
def test_a_unix_socket(server: Server, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    command = [part.replace("127.0.0.1:{port}", f"unix:{path}") for part in server.command]
    environment = {"PYTHONPATH": APPS}
    with running(command, env=environment) as child:
        wait_for(lambda: "Booting worker" in child.output(), "the server")
        if server is SYNC:
            with Wire(path, f"{PATH}&max_age=1", headers=SSE) as wire:
                assert wire.wait_end()
            wait_told(path, ["open", "held", ""], *_ended("max_age"))
        else:
            with Wire(path, PATH, headers=SSE) as wire:
                wait_for(lambda: modes(path) == {"held": 1}, "the hand-off")
                post(path, "one")
                assert wire.next().data == "one"
            wait_told(path, ["open", "held", ""], *_ended("client"))
        no_complaints(child)


def _ended(reason: str) -> list[list[str]]:
    return [["close", "held", reason], ["own", "held", reason]]


@pytest.mark.parametrize("server", MANY, ids=str)
def test_a_middleware_that_changes_nothing(server: Server) -> None:
    with serving(server, "through,through") as (child, address):
        with Wire(address, PATH, headers=SSE) as wire:
            wait_for(lambda: modes(address) == {"held": 1}, "the hand-off")
            post(address, "one")
            assert wire.next().data == "one"
            post(address, "", "/kick?key=k")
            assert wire.wait_end()
        wait_told(address, *_held_and_kicked())
        assert refusals(address) == {}
        no_complaints(child)


@pytest.mark.parametrize("middleware", ["rewrite", "ahead", "split", "compress"])
def test_a_middleware_that_changes_pieces(middleware: str) -> None:
    with serving(GTHREAD, middleware) as (child, address):
        with Wire(address, PATH, headers=SSE) as wire:
            wait_refused(address, body=1)
            assert modes(address) == {"in-loop": 1}
            post(address, "Text")
            post(address, "", "/kick?key=k")
            assert wire.wait_end()
            if middleware != "compress":
                expected = b"DATA: tEXT\n\n" if middleware == "rewrite" else b"data: Text\n\n"
                assert expected in bytes(wire.body)
        no_complaints(child)


@pytest.mark.parametrize("server", [GTHREAD, GEVENT], ids=str)
def test_pipelined_requests(server: Server) -> None:
    """Each has its turn: the worker takes the next one from what it has read already."""
    with serving(server) as (child, address):
        with Wire(address, PATH, headers=SSE) as wire:
            request = f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            wire.socket.sendall(request + request.replace(b"Host", b"Connection: close\r\nHost"))
            for number in range(3):
                wait_for(
                    lambda number=number: stats(address)["opened"] == number + 1,  # type: ignore[misc]
                    "the next one's turn",
                )
                wait_for(lambda: modes(address) == {"held": 1}, "the hand-off")
                post(address, f"number {number}")
                post(address, "", "/kick?key=k")
            rest = bytes(wire._raw)
            while more := wire.socket.recv(65536):
                rest += more
            for number in range(3):
                assert rest.count(b"data: number %d\n\n" % number) == 1
            assert rest.count(b"HTTP/1.1 200 OK") == 2
            assert rest.endswith(b"0\r\n\r\n")
        # Of each its begin and its end. The next one may begin while others are still being told of an end.
        expected = sorted(_held_and_kicked() * 3)
        wait_for(lambda: sorted(told(address)) == expected, f"{expected}")
        no_complaints(child)
