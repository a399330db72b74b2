"""Streams behind a real nginx, with its buffering on: what a head says to a proxy must be enough."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults_nginx import OPTIONS, nginx
from faults_servers import HOSTS, MORE_HOSTS, UVICORN, Host
from handoff_servers import SSE, modes, no_complaints, refusals, wait_until_gone
from http_stream import Address, Wire, post, stats
from processes import Child, wait_for

pytestmark = pytest.mark.timeout(120)
each_host = pytest.mark.parametrize("host", [*HOSTS, *MORE_HOSTS], ids=str)
each_option = pytest.mark.parametrize("option", OPTIONS)


@contextmanager
def behind(
    host: Host, option: str, folder: Path
) -> Iterator[tuple[Child, Child, Address, Address]]:
    """A server and an nginx, and where either is to be had."""
    with (
        host.serving() as (server, origin),
        nginx(origin, folder, OPTIONS[option]) as (proxy, address),
    ):
        yield server, proxy, origin, address


@each_option
@each_host
def test_events_come_at_once(host: Host, option: str, tmp_path: Path) -> None:
    """Each before the next is published. The client leaves, so nginx does, and that is told once."""
    with behind(host, option, tmp_path) as (server, _, origin, address):
        with host.reading(address, 3) as wires:
            for n in range(10):
                post(origin, f"event {n}")
                assert [wire.next().data for wire in wires] == [f"event {n}"] * 3
            for wire in wires:
                assert wire.headers["content-type"].startswith("text/event-stream")
                # That was for nginx.
                assert "x-accel-buffering" not in wire.headers
            # A large one, in as many pieces as it likes.
            post(origin, "x" * 200_000)
            assert {len(wire.next().data or "") for wire in wires} == {200_000}
            linger = struct.pack("ii", 1, 0)
            wires[0].socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        host.wait_ends(origin, *[(host.mode, "client")] * 3)
        assert stats(origin)["connections"] == 0
        assert refusals(origin) == {}
        no_complaints(server)


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_a_proxy_that_compresses(told: bool, tmp_path: Path) -> None:
    """What is small stays in its compressor, unless it is told not to buffer: that header is what does it."""
    options = OPTIONS["http-1.1"] + "gzip on; gzip_types text/event-stream; gzip_http_version 1.0;"
    if not told:
        options += "proxy_ignore_headers X-Accel-Buffering;"
    with (
        UVICORN.serving() as (_, origin),
        nginx(origin, tmp_path, options) as (_, address),
        UVICORN.reading(origin, 1) as (direct,),
        socket.create_connection(address) as sock,  # type: ignore[arg-type]
    ):
        sock.sendall(b"GET /events HTTP/1.0\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n")
        wait_for(lambda: modes(origin) == {"detached": 2}, "the stream behind nginx")
        post(origin, "small")
        assert direct.next().data == "small"
        sock.settimeout(1)
        _, _, body = until_silent(sock).partition(b"\r\n\r\n")
        shown = zlib.decompressobj(wbits=31).decompress(body)
        assert (b"data: small\n\n" in shown) is told


def until_silent(sock: socket.socket) -> bytes:
    """What comes, until nothing has for a while."""
    came = b""
    while True:
        try:
            came += sock.recv(65536)
        except TimeoutError:
            return came


@each_host
def test_comments_keep_a_silent_stream_alive(host: Host, tmp_path: Path) -> None:
    with behind(host, "http-1.1", tmp_path) as (server, _, origin, address):
        with host.reading(address, 2, "heartbeat=0.5") as wires:
            # Longer than nginx waits for one byte.
            for wire in wires:
                wait_for(lambda wire=wire: beats(wire) >= 6, "comments", timeout=20)  # type: ignore[misc]
            post(origin, "still here")
            assert {wire.next().data for wire in wires} == {"still here"}
        no_complaints(server)


def beats(wire: Wire) -> int:
    """How many comments have come so far, after one more piece."""
    wire._advance(5)
    return wire.body.count(b"\n:\n") + wire.body.count(b"\n:\n:")


@each_option
@each_host
def test_the_server_drains(host: Host, option: str, tmp_path: Path) -> None:
    """Its clients see the end as the protocol says, and their connections serve on."""
    with behind(host, option, tmp_path) as (server, _, origin, address):
        with host.reading(address, 5) as wires:
            post(origin, "last")
            took = server.end()
            for wire in wires:
                assert wire.wait_end(), bytes(wire.body)
                assert wire.next().data == "last"
                assert re.search(rb"retry: \d+\n\n$", wire.body), bytes(wire.body)
            assert took < 8
            # nginx's own answer, on the client's connection that is left as it was.
            wires[0].socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 502 " in wires[0].socket.recv(4096)
        no_complaints(server)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL], ids=lambda number: number.name
)
@each_host
def test_nginx_ends(host: Host, number: signal.Signals, tmp_path: Path) -> None:
    with behind(host, "keep-alive", tmp_path) as (server, proxy, origin, address):
        with host.reading(address, 5) as wires:
            if number == signal.SIGKILL:
                # The worker has the connections, and outlives its master.
                worker = worker_of(proxy)
                proxy.process.kill()
                os.kill(worker, signal.SIGKILL)
            else:
                proxy.process.send_signal(number)
            if number == signal.SIGQUIT:
                # It waits for its clients to leave.
                post(origin, "still served")
                assert {wire.next().data for wire in wires} == {"still served"}
                for wire in wires:
                    wire.close()
            proxy.process.wait(10)
        host.wait_ends(origin, *[(host.mode, "client")] * 5)
        assert modes(origin) == {}
        no_complaints(server)


def worker_of(proxy: Child) -> int:
    children = Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children").read_text()
    (worker,) = children.split()
    return int(worker)


@each_host
def test_connections_that_nginx_keeps(host: Host, tmp_path: Path) -> None:
    """Streams come on connections that have served other requests; what a stream had serves none, unless it was held."""
    with behind(host, "keep-alive", tmp_path) as (server, _, origin, address):
        for n in range(10):
            with Wire(address, "/") as wire:
                wire.wait_end()
                assert wire.body == b"ok"
            with host.reading(address, 2, f"key=k{n}") as wires:
                first = post(address, f"round {n}")
                for wire in wires:
                    event = wire.next()
                    assert (event.id, event.data) == (first, f"round {n}")
                with Wire(address, f"/kick?key=k{n}", method="POST") as kick:
                    kick.wait_end()
                    assert kick.body == b"2"
                assert all(wire.wait_end() for wire in wires)
            wait_until_gone(origin)
            with Wire(address, "/") as wire:
                wire.wait_end()
                assert wire.body == b"ok"
        host.wait_ends(origin, *[(host.mode, "kick")] * 20)
        assert modes(origin) == {}
        no_complaints(server)


@each_host
def test_a_client_resumes_through_nginx(host: Host, tmp_path: Path) -> None:
    with behind(host, "http-1.1", tmp_path) as (_, _, origin, address):
        with host.reading(address, 1) as (wire,):
            first = post(origin, "one")
            assert wire.next().data == "one"
        host.wait_ends(origin, (host.mode, "client"))
        for n in range(100):
            post(origin, f"missed {n}")
        with Wire(address, host.path(), headers={**SSE, "Last-Event-ID": first}) as wire:
            assert [wire.next().data for _ in range(100)] == [f"missed {n}" for n in range(100)]
