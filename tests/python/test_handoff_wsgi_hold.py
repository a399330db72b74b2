"""`handoff="hold"` under WSGI: the engine writes, the server's thread waits and ends the response."""

from __future__ import annotations

import re
import socket
import struct
from contextlib import ExitStack

import pytest

from handoff_servers import SSE, modes, no_complaints, refusals
from http_stream import Wire, post
from processes import wait_for
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
        with Wire(address, PATH, headers={**SSE, "Last-Event-ID": first}) as wire:
            wait_for(lambda: modes(address) == {"held": 1}, "the hand-off")
            post(address, "two")
            assert wire.next().data == "two"
            if reset:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_told(
            address,
            ["open", "held", ""],
            ["close", "held", "kick"],
            ["own", "held", "kick"],
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
