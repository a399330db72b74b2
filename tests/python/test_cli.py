"""The command line, as people run it: `ssehub tail` and `ssehub doctor` as processes, against real servers."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faults_nginx import nginx
from handoff_servers import UVICORN, modes, serving, uvicorn
from http_stream import Address, post
from processes import ROOT, free_port, wait_for
from scripted import Peer, Scene, answer, cut, scripted, stream
from support import SOON
from tls import certificate

# Talks HTTP/1.0 to a proxy that does: a body without chunks is what nginx's buffer holds back.
H11 = uvicorn("h11", "asyncio")
IGNORED = "proxy_ignore_headers X-Accel-Buffering;"
GAP = 'event: ssehub:gap\nid: 9\ndata: {"last_event_id": "2", "reason": "expired"}\n\n'


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "ssehub", *args]


def run(*args: str, status: int = 0, stdin: str = "") -> tuple[str, str]:
    """Output and errors of a command that ends by itself with this status."""
    environment = {**os.environ, "NO_PROXY": "*"}
    done = subprocess.run(
        command(*args),
        capture_output=True,
        text=True,
        input=stdin,
        timeout=40,
        check=False,
        env=environment,
    )
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stdout, done.stderr


@contextmanager
def started(*args: str) -> Iterator[subprocess.Popen[str]]:
    """A command that follows. Its pipes are ours."""
    with subprocess.Popen(
        command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def shown(*args: str) -> str:
    """What a terminal gets to see of a command, up to its end."""
    parent, child = pty.openpty()
    with subprocess.Popen(command(*args), stdout=child, stderr=subprocess.PIPE) as process:
        os.close(child)
        text = b""
        try:
            while select.select([parent], [], [], SOON)[0]:
                text += os.read(parent, 65536)
        except OSError:
            pass  # The other end is closed.
        finally:
            os.close(parent)
            process.kill()
    return text.decode()


def still(*pieces: str) -> Scene:
    """A stream that has nothing more to say, and stays open."""

    def play(peer: Peer) -> None:
        peer.head()
        peer.send("".join(pieces))
        peer.stay()

    return play


# tail


def test_events_and_what_happens_between_them() -> None:
    scenes = (
        stream("retry: 100\nid: 1\ndata: one\n\nevent: note\nid: 2\ndata: two\ndata: lines\n\n"),
        cut(GAP),
        still("data: three\n\n"),
    )
    with scripted(*scenes) as script:
        out, err = run("tail", script.url, "--count", "3")
        assert script.sent("last-event-id") == [None, "2", "9"]
    assert err == ""
    # Times come first, and are not the same twice.
    lines = [line.partition("Z ")[2] or line for line in out.splitlines()]
    assert lines[0].startswith(f"-- open: {script.url}")
    assert lines[1:5] == ["message [1] one", "note [2]", "    two", "    lines"]
    assert lines[5].startswith("-- attempt 1: the stream has ended")
    assert lines[7] == "-- gap: events after 2 are lost (expired)"
    assert lines[8].startswith("-- attempt 2: the connection failed")
    assert lines[10] == "message [9] three"
    assert "\x1b" not in out


def test_json_lines_are_nothing_but_events() -> None:
    scenes = (
        stream("retry: 100\nid: 1\ndata: a\ndata: b\n\n"),
        still(GAP, "event: e\ndata: \x1b\n\n"),
    )
    with scripted(*scenes) as script:
        out, err = run("tail", script.url, "--json", "-n", "2")
    events = [json.loads(line) for line in out.splitlines()]
    assert [list(event) for event in events] == [["event", "id", "data"]] * 3
    assert events[0] == {"event": "message", "id": "1", "data": "a\nb"}
    # A gap is an event on the wire, and what is lost must not be missed.
    assert events[1]["event"] == "ssehub:gap"
    assert events[2] == {"event": "e", "id": "9", "data": "\x1b"}
    assert "the stream has ended" in err
    assert "gap: events after 2 are lost" in err


def test_what_is_sent() -> None:
    done = stream("data: 1\n\nevent: end\ndata: 2\n\n")
    with scripted(done) as script:
        options = ("-H", "X-One: 1", "-H", "x-two: a: b", "--last-event-id", "7", "--no-reconnect")
        run("tail", script.url, *options)
        run("tail", script.url, "--data", '{"a": 1}', "--stop-on-event", "end")
        run("tail", script.url, "--data", "@-", "--method", "PUT", stdin="from there")
        first, second, third = script.peers
    assert (first.method, first.headers["x-one"], first.headers["x-two"]) == ("GET", "1", "a: b")
    assert first.headers["last-event-id"] == "7"
    assert (second.method, second.headers["content-type"]) == ("POST", "application/json")
    assert second.body == b'{"a": 1}'
    assert (third.method, third.body) == ("PUT", b"from there")


def test_which_events_and_where_it_ends() -> None:
    body = "event: a\ndata: 1\n\nevent: b\ndata: 2\n\ndata: [DONE]\n\ndata: 3\n\n"
    with scripted(stream(body)) as script:
        out, _ = run("tail", script.url, "-q", "-e", "a", "-e", "message", "--no-reconnect")
        assert [line.split()[1] for line in out.splitlines()] == ["a", "message", "message"]
        out, _ = run("tail", script.url, "--stop-on", "[DONE]")
        assert out.splitlines()[-1].endswith("-- complete: message [DONE], 2 events")
        # A stream that ends without its mark has failed.
        _, err = run("tail", script.url, "--stop-on", "[END]", "--no-reconnect", status=1)
        assert "without its end mark" in err


def test_204_is_the_end() -> None:
    with scripted(stream("retry: 100\ndata: 1\n\n"), answer(204)) as script:
        out, _ = run("tail", script.url)
    assert "(204), 1 event" in out


def test_failures() -> None:
    port = free_port()
    _, err = run("tail", f"http://127.0.0.1:{port}/", status=1)
    assert "refused" in err
    assert "Traceback" not in err
    with scripted(answer(404, "no\x1b such thing", Content_Type="text/plain")) as script:
        _, err = run("tail", script.url, status=1)
        assert "status 404" in err
        assert "no\\u{1b} such thing" in err
    with scripted(answer(200, "{}", Content_Type="application/json")) as script:
        _, err = run("tail", script.url, status=1)
        assert "application/json, not text/event-stream" in err
    with scripted(stream("data: " + "x" * 2000 + "\n\n")) as script:
        _, err = run("tail", script.url, "--max-event-size", "1000", status=1)
        assert "1000" in err
    _, err = run("tail", "http://nobody.invalid/", status=1)
    assert "nobody.invalid" in err


def test_a_server_that_is_not_there_yet() -> None:
    def late(peer: Peer) -> None:
        peer.reset()

    with scripted(late, still("data: 1\n\n")) as script:
        out, _ = run("tail", script.url, "--wait", "-n", "1")
    assert "attempt 1" in out


def test_silence_is_not_waited_for_for_ever() -> None:
    with scripted(still(), still("data: 1\n\n")) as script:
        out, _ = run("tail", script.url, "--timeout", "0.2", "-n", "1")
    assert "nothing came within 200 ms" in out


@pytest.mark.parametrize(
    ("args", "word"),
    [
        ((), "Usage"),
        (("tail",), "<URL>"),
        (("tail", "http://x", "-H", "none"), 'write it as "Name: value"'),
        (("tail", "http://x", "--bogus"), "--bogus"),
        (("tail", "ws://x"), "http: and https:"),
        (("doctor", "http://x:port/"), "URL"),
    ],
)
def test_bad_arguments(args: tuple[str, ...], word: str) -> None:
    out, err = run(*args, status=2)
    assert out == ""
    assert word in err


def test_help_and_version() -> None:
    assert "doctor" in run("--help")[0]
    program = Path(sys.executable).parent / "ssehub"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ssehub ")


def test_ctrl_c_ends_at_once_and_without_a_word() -> None:
    with scripted(still("data: 1\n\n")) as script, started("tail", script.url, "-q") as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith("message 1\n")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SOON)
        assert (process.returncode, err) == (-signal.SIGINT, "")


@pytest.mark.parametrize("silent", [False, True], ids=["events", "silence"])
def test_a_closed_pipe_ends_it_without_a_word(silent: bool) -> None:
    def pour(peer: Peer) -> None:
        peer.head()
        while True:
            peer.send("data: 1\n\n")

    scene = still("data: 1\n\n") if silent else pour
    with scripted(scene) as script, started("tail", script.url, "-q") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().endswith("message 1\n")
        process.stdout.close()
        assert process.wait(SOON) == 0
        assert process.stderr.read() == ""


def test_each_event_is_shown_when_it_comes() -> None:
    go = threading.Semaphore(0)

    def play(peer: Peer) -> None:
        peer.head()
        for n in range(3):
            peer.send(f"data: {n}\n\n")
            assert go.acquire(timeout=SOON)

    with scripted(play) as script, started("tail", script.url, "--json") as process:
        assert process.stdout is not None
        for n in range(3):
            assert json.loads(process.stdout.readline())["data"] == str(n)
            go.release()


def test_a_stream_cannot_drive_a_terminal() -> None:
    hostile = "event: \x1b[31mred\ndata: \x1b]0;title\x07\x9b2J\u202e\x00\n\n"
    with scripted(still(hostile)) as script:
        for options in (("--color", "never"), ("--json", "--color", "never")):
            text = shown("tail", script.url, "-n", "1", *options)
            assert "title" in text
            assert not {"\x1b", "\x07", "\x9b", "\u202e", "\x00"} & set(text)
        assert "\x1b[1;36m\\u{1b}[31mred\x1b[0m" in shown("tail", script.url, "-n", "1")


def test_a_real_server() -> None:
    with serving(UVICORN) as (_, origin), started("tail", url(origin), "--json") as process:
        wait_for(lambda: modes(origin) == {"detached": 1}, "the stream")
        assert process.stdout is not None
        event_id = post(origin, "hello")
        line = json.loads(process.stdout.readline())
        assert line == {"event": "message", "id": event_id, "data": "hello"}


def url(address: Address, path: str = "/events") -> str:
    return f"http://127.0.0.1:{address[1]}{path}"


# doctor


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


@pytest.mark.parametrize("every", [0.0, 0.02], ids=["quiet", "busy"])
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


@pytest.mark.parametrize("every", [0.0, 0.02], ids=["quiet", "busy"])
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


def test_the_entry_point_is_declared() -> None:
    assert 'ssehub = "ssehub.__main__:main"' in (ROOT / "pyproject.toml").read_text()
