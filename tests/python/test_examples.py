"""The examples do what their first lines say: the commands are taken from there."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from processes import ROOT, free_port, running, wait_for
from ssehub import Event, iter_events

FOLDER = ROOT / "examples" / "python"
SERVERS = ["fastapi_app.py", "flask_app.py"]


def commands(name: str) -> dict[str, str]:
    """The lines `Name:   command` of an example's docstring."""
    docstring = ast.get_docstring(ast.parse((FOLDER / name).read_text(encoding="utf-8")))
    assert docstring is not None
    return dict(re.findall(r"^(\w+):\s+(.+)$", docstring, re.MULTILINE))


@contextmanager
def curl(command: str) -> Iterator[httpx.Response]:
    """What `curl` with these arguments does, so that the tests do not need it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-N", action="store_true")
    parser.add_argument("-H", default="Accept: */*")
    parser.add_argument("-d")
    parser.add_argument("url")
    program, *rest = shlex.split(command)
    assert program == "curl"
    given = parser.parse_args(rest)
    name, value = given.H.split(": ")
    method = "GET" if given.d is None else "POST"
    with httpx.stream(
        method, given.url, headers={name: value}, content=given.d, timeout=10
    ) as response:
        yield response


@contextmanager
def served(name: str) -> Iterator[dict[str, str]]:
    """Runs an example, at a free port, and gives its other commands for that port."""
    port = free_port()
    here = {key: line.replace("8000", str(port)) for key, line in commands(name).items()}
    with running(shlex.split(here.pop("Run")), url=f"http://127.0.0.1:{port}/") as child:
        yield here
        # One Ctrl-C or SIGTERM is enough, whatever is open.
        assert child.end() < 5
        assert "Traceback" not in child.output()


@pytest.mark.parametrize("name", SERVERS)
def test_publishes_from_one_handler_to_the_stream_of_another(name: str) -> None:
    with served(name) as here, curl(here["Listen"]) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"] == "text/event-stream"
        with curl(here["Publish"]) as answer:
            assert answer.status_code == 202
        event = next(iter_events(stream.iter_bytes()))
        assert event == Event('{"title":"hello"}', event="posted", id=event.id)
        assert re.fullmatch(r"[0-9a-f]{16}-1", event.id or "")


def test_the_stream_of_a_yield_endpoint_ends() -> None:
    with served("fastapi_app.py") as here, curl(here["Count"]) as stream:
        events = list(iter_events(stream.iter_bytes()))
    assert [event.json() for event in events] == [{"n": n} for n in (3, 2, 1, 0)]


def test_the_asyncio_example_ends_by_itself() -> None:
    program, *arguments = shlex.split(commands("asyncio_hub.py")["Run"])
    assert program == "python"
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    kettle, teapot = {"item": "kettle", "count": 2}, {"item": "teapot", "count": 1}
    assert [line for line in lines if line.startswith("orders")] == [
        f"orders: placed {kettle}",
        f"orders: placed {teapot}",
    ]
    assert f"resumed: placed {teapot}" in lines


@pytest.mark.parametrize("name", ["openai_stream.py", "anthropic_stream.py"])
def test_answers_of_models(name: str) -> None:
    program, *arguments = shlex.split(commands(name)["Run"])
    assert program == "python"
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    whole, failed, cut = done.stdout.splitlines()
    assert whole == "Hello, parrot (done)"
    assert failed == "You will fail (ApiError: The parrot is tired)"
    assert cut.startswith("You will be cut (UnfinishedError: ")


@pytest.mark.parametrize("which", ["OpenAI", "Claude"])
def test_the_server_of_models(which: str) -> None:
    with served("llm_server.py") as here, curl(here[which]) as stream:
        assert stream.status_code == 200
        assert '"Hello' in " ".join(event.data or "" for event in iter_events(stream.iter_bytes()))


def test_the_follower_sees_a_server_come_and_go() -> None:
    here = commands("eventsource.py")
    publish = commands("fastapi_app.py")["Publish"]
    port = str(free_port())
    serve = shlex.split(here["Serve"].replace("8000", port))
    root = f"http://127.0.0.1:{port}/"
    program, *arguments = shlex.split(here["Run"].replace("8000", port))
    assert program == "python"
    with running([sys.executable, *arguments]) as follower:
        for opened in (1, 2):
            with running(serve, url=root) as server:
                wait_for(
                    lambda opened=opened: follower.output().count("open: ") == opened,
                    "the follower is there",
                    timeout=20,
                )
                with curl(publish.replace("8000", port)) as answer:
                    assert answer.status_code == 202
                wait_for(
                    lambda opened=opened: follower.output().count("posted ") == opened, "the event"
                )
                assert server.end() < 5
        said = follower.output()
        # Ctrl-C ends it without a word.
        assert follower.end(number=signal.SIGINT) < 5
        assert "Traceback" not in follower.output()
    assert "again in " in said
    assert "are lost: unknown" in said


def test_no_example_is_forgotten() -> None:
    names = {path.name for path in FOLDER.glob("*.py")}
    clients = {"eventsource.py", "openai_stream.py", "anthropic_stream.py"}
    assert names == {*SERVERS, *clients, "asyncio_hub.py", "llm_server.py"}
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    for name in names:
        assert f"`{commands(name)['Run']}`" in readme
