"""`ssehub doctor` as people run it: against servers of ours, behind a real nginx, and against scripts."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from command_line import GAP, run, shown, still, url
from faults_nginx import nginx
from handoff_servers import serving, uvicorn
from http_stream import Address, post
from processes import free_port
from scripted import answer, scripted, stream
from support import SOON
from tls import certificate

# Answers a proxy that speaks HTTP/1.0 without chunks: such a body is what nginx's buffer holds back.
H11 = uvicorn("h11", "asyncio")
# HTTP/1.0 is nginx's default before 1.30: what comes in chunks it passes on, whether it buffers or not.
IGNORED = "proxy_ignore_headers X-Accel-Buffering; proxy_http_version 1.0;"


def doctor(where: str, *options: str, seconds: float = 2, status: int = 0) -> dict[str, Any]:
    """The findings, by what was looked at."""
    out, err = run("doctor", where, "--json", "--seconds", str(seconds), *options, status=status)
    assert err == ""
    report = json.loads(out)
    assert report["healthy"] is (status == 0)
    return {finding["check"]: finding for finding in report["findings"]}


def verdicts(found: dict[str, Any], *checks: str) -> list[str]:
    return [found[check]["verdict"] for check in checks]


def advice(found: dict[str, Any], check: str) -> str:
    return "\n".join(found[check]["advice"])


@contextmanager
def publishing(origin: Address, every: float) -> Iterator[None]:
    """Events of a few hundred bytes meanwhile."""
    over = threading.Event()

    def publish() -> None:
        while not over.wait(every):
            post(origin, "x" * 300)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_healthy_server() -> None:
    with serving(H11) as (_, origin):
        found = doctor(url(origin, "/events?heartbeat=0.5"), seconds=SOON)
        assert {finding["verdict"] for finding in found.values()} == {"ok", "note"}
        assert verdicts(found, "buffering", "heartbeats", "cuts", "resume") == ["ok"] * 4
        # A quiet one is not suspected of anything.
        found = doctor(url(origin))
        assert verdicts(found, "buffering", "resume", "heartbeats") == ["ok", "ok", "unknown"]
        with publishing(origin, 0.01):
            found = doctor(url(origin))
        assert verdicts(found, "buffering", "resume") == ["ok", "ok"]
        assert "the stream goes on after" in found["resume"]["found"]


@pytest.mark.parametrize("every", [0.0, 0.05], ids=["quiet", "busy"])
def test_an_nginx_that_buffers(every: float, tmp_path: Path) -> None:
    """As it happens: the header that tells it not to is ignored."""
    options = IGNORED + "proxy_read_timeout 60s;"
    with serving(H11) as (_, origin), nginx(origin, tmp_path, options) as (_, address):
        if every:
            with publishing(origin, every):
                found = doctor(url(address), seconds=SOON, status=1)
            assert "4096 bytes" in found["buffering"]["found"]
        else:
            found = doctor(url(address), status=1)
            assert "nginx holds the stream back" in found["buffering"]["found"]
    assert found["buffering"]["verdict"] == "problem"
    assert "`proxy_buffering off;`" in advice(found, "buffering")
    assert "`proxy_ignore_headers X-Accel-Buffering;`" in advice(found, "buffering")


@pytest.mark.parametrize("every", [0.0, 0.05], ids=["quiet", "busy"])
def test_an_nginx_that_does_not(every: float, tmp_path: Path) -> None:
    with (
        serving(H11) as (_, origin),
        nginx(origin, tmp_path, "proxy_buffering off;") as (_, address),
    ):
        where = url(address, "/events?heartbeat=0.5")
        if every:
            with publishing(origin, every):
                found = doctor(where)
        else:
            found = doctor(where)
    assert found["answered by"]["found"].startswith("nginx")
    assert verdicts(found, "buffering", "cuts", "resume") == ["ok"] * 3


def test_an_nginx_that_cuts_what_is_idle(tmp_path: Path) -> None:
    with serving(H11) as (_, origin), nginx(origin, tmp_path, "") as (_, address):
        found = doctor(url(address), seconds=SOON, status=1)
    assert [check for check in found if found[check]["verdict"] == "problem"] == ["cuts"]
    assert "silence" in found["cuts"]["found"]
    assert "`proxy_read_timeout 1h;`" in advice(found, "cuts")
    assert "heartbeat" in advice(found, "cuts")


def test_an_nginx_that_buffers_until_it_cuts(tmp_path: Path) -> None:
    with serving(H11) as (_, origin), nginx(origin, tmp_path, IGNORED) as (_, address):
        found = doctor(url(address), seconds=SOON, status=1)
    assert verdicts(found, "buffering", "cuts") == ["problem", "problem"]
    assert "`proxy_buffering off;`" in advice(found, "buffering")


def test_an_nginx_that_compresses(tmp_path: Path) -> None:
    options = "gzip on; gzip_types text/event-stream;" + IGNORED + "proxy_read_timeout 60s;"
    with serving(H11) as (_, origin), nginx(origin, tmp_path, options) as (_, address):
        found = doctor(url(address), status=1)
    assert found["buffering"]["verdict"] == "problem"


def test_ids_that_do_not_resume() -> None:
    # The second connection begins elsewhere, or not at all.
    first = still("id: 1\ndata: a\n\nid: 2\ndata: b\n\n")
    for second in (still("id: 5\ndata: e\n\n"), first):
        with scripted(first, second) as script:
            found = doctor(script.url, seconds=1, status=1)
            assert script.sent("last-event-id") == [None, "1"]
        assert found["resume"]["verdict"] == "problem"
    with scripted(first, still("id: 2\ndata: b\n\n")) as script:
        assert doctor(script.url, seconds=1)["resume"]["verdict"] == "ok"
    with scripted(still("data: a\n\n")) as script:
        assert doctor(script.url, seconds=1)["resume"]["verdict"] == "note"
    with scripted(first, still(GAP.replace("expired", "unknown"))) as script:
        found = doctor(script.url, seconds=1, status=1)
        assert "worker" in advice(found, "resume")


def test_a_post_is_made_once() -> None:
    with scripted(still("id: 1\ndata: a\n\n")) as script:
        found = doctor(script.url, "--data", "{}", seconds=1)
        assert [peer.method for peer in script.peers] == ["POST"]
    assert found["resume"]["verdict"] == "unknown"


def test_heads() -> None:
    with scripted(answer(401, "who are you?")) as script:
        found = doctor(script.url, status=1)
        assert "who are you?" in found["status"]["found"]
        assert "--header" in advice(found, "status")
    with scripted(answer(200, "<html>", Content_Type="text/html")) as script:
        assert doctor(script.url, status=1)["content type"]["verdict"] == "problem"
    with scripted(stream("data: 1\n\n"), answer(204)) as script:
        found = doctor(script.url, "--origin", "https://app.example", status=1)
        assert verdicts(found, "length", "CORS", "caching") == ["problem", "problem", "note"]
    moved = answer(302, Location="/events?there")
    with scripted(moved, still("id: 1\ndata: 1\n\n")) as script:
        found = doctor(script.url, seconds=1)
        assert "/events?there" in found["connection"]["found"]


def test_no_connection_is_a_status_of_its_own(tmp_path: Path) -> None:
    found = doctor(f"http://127.0.0.1:{free_port()}/", status=2)
    assert "Nobody listens" in advice(found, "connection")
    found = doctor("http://nobody.invalid/", status=2)
    assert "typing error" in advice(found, "connection")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(tmp_path))
    with scripted(still("data: 1\n\n"), tls=context) as script:
        found = doctor(script.url, status=2)
        assert "--cacert" in advice(found, "connection")
        assert doctor(script.url, "--insecure", seconds=1)["status"]["found"] == "200"
        _, err = run("tail", script.url, status=1)
        assert "certificate" in err


def test_the_report_for_people() -> None:
    with scripted(still("retry: 100\nid: 1\n\n")) as script:
        out, err = run("doctor", script.url, "--seconds", "1")
        text = shown("doctor", script.url, "--seconds", "1")
    assert err == ""
    assert "  ok       buffering          none: what is sent comes at once\n" in out
    assert "-> Send `X-Accel-Buffering: no`" in out
    assert "no problem was found; " in out.splitlines()[-1]
    assert max(map(len, out.splitlines())) <= 100
    assert "\x1b[32mok      \x1b[0m" in text
