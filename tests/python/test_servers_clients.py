"""Clients that are out of the ordinary, at real servers."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

import pytest

from http_stream import Wire, post, stats
from processes import running, wait_for
from real_servers import (
    APPS,
    SSE,
    THREADED,
    UVICORN,
    WSGI,
    Server,
    gone,
    gunicorn,
    no_complaints,
    serving,
    uvicorn,
)
from support import SOON


@pytest.mark.parametrize("server", [UVICORN, uvicorn("h11", "asyncio"), *WSGI], ids=str)
def test_an_http_1_0_client(server: Server) -> None:
    with serving(server) as (child, address):
        with Wire(address, headers=SSE, version="1.0") as wire:
            assert wire.status == 200
            if server.name.startswith(("gunicorn", "uvicorn-h11")):
                # The others answer in chunks even so.
                assert "transfer-encoding" not in wire.headers
            wire.until_body(b"id: ")
            id = post(address, "x")
            event = wire.next()
            assert (event.data, event.id) == ("x", id)
        wait_for(lambda: gone(address), "the client's leaving, noticed")
        no_complaints(child)


@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn"])
def test_a_unix_socket(kind: str, tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    if kind == "uvicorn":
        command = ["uvicorn", "asgi_app:app", "--app-dir", APPS, "--uds", path]
    else:
        command = [*gunicorn("gthread", "--threads", "8").command]
        command[command.index("127.0.0.1:{port}")] = f"unix:{path}"
    with running(command) as child:
        wait_for(lambda: Path(path).exists(), "the socket")
        time.sleep(0.3)
        with Wire(path, headers=SSE) as wire:
            wire.until_body(b"id: ")
            post(path, "x")
            assert wire.next().data == "x"
        wait_for(lambda: gone(path), "the client's leaving, noticed")
        no_complaints(child)


def test_a_client_that_closes_only_its_sending_side() -> None:
    """EOF from the client counts as leaving, as with all these servers."""
    with serving(UVICORN) as (child, address):
        with Wire(address, headers=SSE) as wire:
            wire.until_body(b"id: ")
            wire.socket.shutdown(socket.SHUT_WR)
            wait_for(lambda: gone(address), "the end")
        no_complaints(child)


def test_a_client_that_resets_and_one_that_sends_junk() -> None:
    with serving(UVICORN) as (child, address):
        for _ in range(20):
            wire = Wire(address, headers=SSE)
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.close()
        junk = Wire(address, headers=SSE)
        junk.socket.sendall(b"\0\xff" * 1000)
        wait_for(lambda: stats(address)["opened"] == 21, "all streams")
        junk.close()
        wait_for(lambda: gone(address), "the end of all")
        assert "Traceback" not in child.output(), child.output()


@pytest.mark.parametrize("server", [UVICORN, THREADED[0]], ids=str)
def test_a_pipelining_keep_alive_client(server: Server) -> None:
    """A stream may follow other requests on one connection."""
    with (
        serving(server) as (_, address),
        Wire(address, "/", headers={"Connection": "keep-alive"}) as first,
    ):
        assert bytes(first.body) == b"ok" or first.wait_end()
        first.socket.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        deadline = time.monotonic() + SOON
        data = b""
        while b"retry: 1000" not in data:
            assert time.monotonic() < deadline
            data += first.socket.recv(65536)
        assert data.startswith(b"HTTP/1.1 200")
