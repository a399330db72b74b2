"""Where the engine cannot take a WSGI server's socket: the stream goes on in the server's thread, and that is said."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from handoff_servers import SSE, modes, no_complaints, refusals, wait_until_gone
from http_stream import Wire, post, stats, status_of
from processes import Child, free_port, running, wait_for
from support import SOON
from tls import certificate
from wsgi_servers import (
    GEVENT,
    GTHREAD,
    GUNICORNS,
    RUNSERVER,
    SERVERS,
    WAITRESS,
    WERKZEUG,
    Server,
    own,
    serving,
    told,
    wait_refused,
    wait_told,
)

pytestmark = pytest.mark.timeout(120)
# Those that can answer while a stream is in-loop.
MANY = [GTHREAD, GEVENT, WERKZEUG, WAITRESS, RUNSERVER]


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_a_middleware_that_changes_nothing_is_no_reason(server: Server) -> None:
    with serving(server, "through,through") as (child, address):
        with Wire(address, headers=SSE) as wire:
            wire.until_body(b"\nid: ")
            wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
            post(address, "x")
            assert wire.next().data == "x"
        no_complaints(child)


@pytest.mark.parametrize(
    ("server", "middleware"),
    [
        *((server, middleware) for server in MANY for middleware in ("ahead", "rewrite")),
        (GTHREAD, "split"),
        (GTHREAD, "compress"),
    ],
    ids=str,
)
def test_a_middleware_that_changes_pieces(server: Server, middleware: str) -> None:
    with serving(server, middleware) as (child, address):
        with Wire(address, headers=SSE) as wire:
            wait_refused(address, body=1)
            assert modes(address) == {"in-loop": 1}
            post(address, "Text")
            # Unlike a kick, it lets what was published before go out.
            post(address, "", "/drain")
            assert wire.wait_end()
            body = bytes(wire.body)
            if middleware == "compress":
                body = zlib.decompressobj().decompress(body)
            expected = b"DATA: tEXT\n\n" if middleware == "rewrite" else b"data: Text\n\n"
            assert expected in body
        wait_told(address, ["open", "in-loop", ""], ["close", "in-loop", "drain"])
        no_complaints(child)


def test_a_reason_is_said_once() -> None:
    with serving(GTHREAD, "rewrite") as (child, address):
        for count in (1, 2, 3):
            with Wire(address, headers=SSE):
                wait_refused(address, body=count)
        output = child.output()
        assert output.count("refused for 'body'") == 1, output
        assert "have it leave text/event-stream alone" in output


@pytest.mark.parametrize("handoff", ["off", "hold", "detach"])
def test_a_worker_with_one_thread(handoff: str) -> None:
    """Where the stream stays with it, one client has it for itself; afterwards it answers again."""
    sync = SERVERS[0]
    with serving(sync, "" if handoff == "off" else "ahead") as (child, address):
        with Wire(address, f"/events?handoff={handoff}", headers=SSE) as wire:
            wire.until_body(b"\nid: ")
        wait_until_gone(address)
        assert refusals(address) == ({} if handoff == "off" else {"body": 1})
        assert told(address)[0] == ["open", "in-loop", ""]
        no_complaints(child)


@pytest.mark.parametrize("server", MANY, ids=str)
def test_off(server: Server) -> None:
    with serving(server) as (child, address):
        with Wire(address, "/events?handoff=off", headers=SSE) as wire:
            wire.until_body(b"\nid: ")
            assert modes(address) == {"in-loop": 1}
            post(address, "x")
            assert wire.next().data == "x"
        wait_until_gone(address)
        assert refusals(address) == {}
        no_complaints(child)


def test_require() -> None:
    path = "/events?handoff=require"
    with serving(GTHREAD) as (child, address):
        with Wire(address, path, headers=SSE) as wire:
            wire.until_body(b"\nid: ")
            wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
        no_complaints(child)
    with serving(GTHREAD, "ahead") as (_, address):
        # The head has not gone out yet.
        assert status_of(address, path) == 500
    with serving(GTHREAD, "rewrite") as (child, address):
        # The head is out: cut, so that the client can tell.
        with Wire(address, path, headers=SSE) as wire:
            assert not wire.wait_end()
        assert "HandoffError: handoff='require': a middleware" in child.output()
        assert told(address) == [["open", "in-loop", ""], ["close", "in-loop", "error"]]
    with serving(own("pywsgi")) as (child, address):
        with Wire(address, path, headers=SSE) as wire:
            assert wire.status == 500
        assert stats(address)["opened"] == 0
        assert "HandoffError: handoff='require': no socket was found" in child.output()


@pytest.mark.parametrize("name", ["pywsgi", "werkzeug-forking"])
def test_a_server_that_is_not_known_or_forks(name: str) -> None:
    """A process that ends with its request cannot go on with the stream."""
    with serving(own(name)) as (child, address):
        with Wire(address, headers=SSE) as wire:
            wire.until_body(b"\nid: ")
            wire.until_body(b":\n:\n")
        wait_for(lambda: "refused for 'transport'" in child.output(), "the reason")
        wait_for(lambda: "told close in-loop client" in child.output(), "the client's leaving")
        if name == "pywsgi":
            assert refusals(address) == {"transport": 1}
        assert "Traceback" not in child.output()


@contextmanager
def serving_tls(
    server: Server, folder: Path, *options: str
) -> Iterator[tuple[Child, httpx.Client]]:
    cert, key = certificate(folder)
    port = free_port()
    command = [part.format(port=port) for part in server.command]
    trusted = ssl.create_default_context(cafile=cert)
    trusted.check_hostname = False
    base = f"https://127.0.0.1:{port}"
    with (
        running([*command, "--certfile", cert, "--keyfile", key, *options]) as child,
        httpx.Client(base_url=base, verify=trusted, http2=True, timeout=SOON) as client,
    ):
        wait_for(lambda: "Booting worker" in child.output(), "the worker")
        yield child, client


@pytest.mark.parametrize("server", GUNICORNS, ids=str)
def test_tls(server: Server, tmp_path: Path) -> None:
    """The bytes on the socket are not the client's."""
    with serving_tls(server, tmp_path) as (child, client):
        response = client.get("/events?max_age=1", headers=SSE)
        assert (response.status_code, response.http_version) == (200, "HTTP/1.1")
        assert response.content.startswith(b"retry: 1000\nid: ")
        assert client.get("/stats").json()["handoffs_refused"] == {"tls": 1}
        assert "let a reverse proxy in front of it end TLS" in child.output()
        no_complaints(child)


@pytest.mark.parametrize("server", [GTHREAD, GEVENT], ids=str)
def test_http_2(server: Server, tmp_path: Path) -> None:
    """The connection has other streams, too."""
    with serving_tls(server, tmp_path, "--http-protocols", "h2,h1") as (child, client):
        response = client.get("/events?max_age=1", headers=SSE)
        assert (response.status_code, response.http_version) == (200, "HTTP/2")
        assert response.content.startswith(b"retry: 1000\nid: ")
        assert client.get("/stats").json()["handoffs_refused"] == {"http2": 1}
        no_complaints(child)
