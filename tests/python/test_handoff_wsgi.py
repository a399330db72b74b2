"""The engine takes the client's socket from real WSGI servers, and their workers are free."""

from __future__ import annotations

import os
import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from handoff_servers import SSE, modes, no_complaints, refusals, wait_until_gone
from http_stream import Wire, post, stats
from processes import running, wait_for
from support import SOON
from wsgi_servers import (
    GEVENT,
    GTHREAD,
    SERVERS,
    SYNC,
    Server,
    detached,
    read_until,
    serving,
    told,
    wait_told,
)

pytestmark = pytest.mark.timeout(120)


def content(wire: Wire) -> bytes:
    """The body without heartbeats."""
    return bytes(wire.body).replace(b"\n:\n", b"\n").removeprefix(b":\n")


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_detached(server: Server) -> None:
    """Right bytes, resume, the client's leaving, and callbacks."""
    with serving(server) as (child, address):
        with Wire(address, "/events?own=1", headers=SSE) as wire:
            assert wire.status == 200
            assert wire.headers["content-type"].startswith("text/event-stream")
            assert wire.headers["connection"] == "close"
            assert ("transfer-encoding" in wire.headers) == server.chunked
            wire.until_body(b"\nid: ")
            wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
            first = post(address, "one")
            event = wire.next()
            assert (event.data, event.id) == ("one", first)
            epoch = first.partition("-")[0]
            assert content(wire) == (
                f"retry: 1000\nid: {epoch}-1\n\nid: {first}\ndata: one\n\n".encode()
            )
        wait_told(
            address,
            ["open", "detached", ""],
            ["close", "detached", "client"],
            ["own", "detached", "client"],
        )
        post(address, "missed 1")
        post(address, "missed 2")
        with Wire(address, headers={**SSE, "Last-Event-ID": first}) as wire:
            assert [wire.next().data, wire.next().data] == ["missed 1", "missed 2"]
            wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
        wait_for(lambda: len(told(address)) == 5, "the callbacks")
        head = Wire(address, method="HEAD", headers={"Connection": "close"})
        assert (head.status, head.headers["content-type"][:17]) == (200, "text/event-stream")
        head.close()
        assert stats(address)["opened"] == 2
        assert refusals(address) == {}
        no_complaints(child)


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_the_worker_is_free(server: Server) -> None:
    """Many streams at once, in servers that have one thread or four; each ends as the protocol says."""
    with serving(server) as (child, address), detached(address, 50, "/events?key=k") as wires:
        post(address, "to all")
        assert {wire.next().data for wire in wires} == {"to all"}
        assert post(address, "", "/kick?key=k") == "50"
        for wire in wires:
            assert wire.wait_end(), bytes(wire.body)
        wait_until_gone(address)
        wait_for(lambda: len(told(address)) == 100, "the callbacks")
        assert told(address).count(["close", "detached", "kick"]) == 50
        no_complaints(child)


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_nothing_is_left_of_200_streams(server: Server) -> None:
    with serving(server) as (child, address):
        for number in range(210):
            with Wire(address, headers=SSE) as wire:
                wire.until_body(b"\nid: ")
            if number == 9:
                wait_until_gone(address)
                before = stats(address)
        wait_until_gone(address)

        def left() -> bool:
            now = stats(address)
            # The server's own threads come and go with its connections.
            return bool(now["descriptors"] <= before["descriptors"] + 2)

        wait_for(left, "the descriptors")
        wait_for(lambda: len(told(address)) == 420, "the callbacks")
        no_complaints(child)


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_an_http_1_0_client(server: Server) -> None:
    with serving(server) as (child, address):
        with Wire(address, "/events?key=k", headers=SSE, version="1.0") as wire:
            # Werkzeug answers in chunks even so.
            if server.name != "werkzeug":
                assert "transfer-encoding" not in wire.headers
            wire.until_body(b"\nid: ")
            wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
            id = post(address, "x")
            event = wire.next()
            assert (event.data, event.id) == ("x", id)
            post(address, "", "/kick?key=k")
            assert wire.wait_end()
        no_complaints(child)


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_a_request_with_a_body_that_nobody_reads(server: Server) -> None:
    with serving(server) as (child, address):
        with Wire(address, method="POST", headers=SSE, body=b"x" * 5000) as wire:
            wire.until_body(b"\nid: ")
            wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
            post(address, "x")
            assert wire.next().data == "x"
        wait_until_gone(address)
        no_complaints(child)


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_a_snapshot_first_and_after_a_gap(server: Server) -> None:
    """The engine makes no snapshots: they go out before it takes over."""
    path = "/events?topic=short&snapshot=1"
    with serving(server) as (child, address):
        with Wire(address, path, headers=SSE) as wire:
            assert wire.next().data == "the state"
            wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
            post(address, "live", "/publish?topic=short")
            assert wire.next().data == "live"
            at = wire.last_event_id
        wait_until_gone(address)
        for number in range(5):
            post(address, str(number), "/publish?topic=short")
        with Wire(address, path, headers={**SSE, "Last-Event-ID": at}) as wire:
            assert wire.next().event == "ssehub:gap"
            assert wire.next().data == "the state"
            wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
            post(address, "live", "/publish?topic=short")
            assert wire.next().data == "live"
        assert refusals(address) == {}
        no_complaints(child)


@pytest.mark.parametrize("server", [GTHREAD, GEVENT], ids=str)
def test_a_stream_on_a_connection_that_was_kept(server: Server) -> None:
    """The worker counts its connections, and has them in a poller between requests."""
    with serving(server) as (child, address):
        for _ in range(20):
            with Wire(address, "/", headers={"Connection": "keep-alive"}) as first:
                first.until_body(b"ok")
                first.socket.sendall(b"GET /events?key=k HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b"Connection: close" in read_until(first.socket, b"\nid: ")
                wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
                post(address, "", "/kick?key=k")
                read_until(first.socket, b"0\r\n\r\n")
            wait_until_gone(address)
        # All of its threads answer still.
        with ExitStack() as stack:
            for wire in [stack.enter_context(Wire(address, "/")) for _ in range(8)]:
                wire.until_body(b"ok")
        no_complaints(child)


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs Linux's /proc")
def test_gevents_loop_does_not_see_the_socket_any_more() -> None:
    """Its poller knows sockets by number and description: what the client sends must not spin it."""
    with serving(GEVENT) as (child, address):
        # Comes in two parts, so that the server has to wait for it in its poller.
        raw = socket.create_connection(address, timeout=SOON)
        raw.sendall(b"GET /events HTTP/1.1\r\n")
        time.sleep(0.2)
        raw.sendall(b"Host: x\r\n\r\n")
        wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
        pid = stats(address)["pid"]
        raw.sendall(b"junk")
        begin = processor_seconds(pid)
        time.sleep(1)
        assert processor_seconds(pid) - begin < 0.5
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        wait_until_gone(address)
        begin = processor_seconds(pid)
        time.sleep(1)
        assert processor_seconds(pid) - begin < 0.5
        no_complaints(child)


def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    command = [part.replace("127.0.0.1:{port}", f"unix:{path}") for part in SYNC.command]
    with running(command) as child:
        wait_for(lambda: Path(path).exists(), "the socket")
        wait_for(lambda: "Booting worker" in child.output(), "the worker")
        with Wire(path, "/events?key=k", headers=SSE) as wire:
            wire.until_body(b"\nid: ")
            wait_for(lambda: modes(path) == {"detached": 1}, "the hand-off")
            post(path, "x")
            assert wire.next().data == "x"
            post(path, "", "/kick?key=k")
            assert wire.wait_end()
        no_complaints(child)


def test_two_thousand_streams_of_one_worker() -> None:
    """`gunicorn -w 1 -k sync` and ten lines of Flask."""
    with serving(SYNC) as (child, address):
        begin = time.monotonic()
        with detached(address, 2000) as wires:
            opened = time.monotonic()
            post(address, "to all")
            assert {wire.next().data for wire in wires} == {"to all"}
            got = time.monotonic()
            with Wire(address, "/") as wire:
                wire.until_body(b"ok")
            answered = time.monotonic()
            took = child.end()
            assert all(wire.wait_end() for wire in wires)
        print(
            f"2,000 streams: opened in {opened - begin:.2f} s, an event to all in {got - opened:.3f} s, "
            f"a plain request in {(answered - got) * 1000:.1f} ms, SIGTERM in {took:.2f} s"
        )
        no_complaints(child)
