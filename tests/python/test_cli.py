"""`ssehub tail` as people run it, and what is true of the whole command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from command_line import GAP, run, shown, started, still, url
from handoff_servers import UVICORN, modes, serving
from http_stream import post
from processes import ROOT, free_port, wait_for
from scripted import Peer, answer, cut, scripted, stream
from support import SOON


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


def test_comments_are_shown_when_asked_for() -> None:
    with scripted(still(":\n: ping\n\ndata: 1\n\n")) as script:
        out, _ = run("tail", script.url, "--comments", "-q", "-n", "1")
    assert [line.partition("Z ")[2] for line in out.splitlines()] == [
        "-- comment:",
        "-- comment: ping",
        "message 1",
    ]


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


def test_the_entry_point_is_declared() -> None:
    assert 'ssehub = "ssehub.__main__:main"' in (ROOT / "pyproject.toml").read_text()
