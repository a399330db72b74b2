"""`examples/demo/run.py` itself: both servers up, both down."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from processes import Child, responds, running, wait_for

COMMAND = [sys.executable, "examples/demo/run.py"]


def addresses(child: Child) -> list[str]:
    """The addresses that are printed, once both servers answer."""

    def printed() -> list[str]:
        assert child.process.poll() is None, child.output()
        output = child.output()
        found = re.findall(r"^ +(?:FastAPI|Express) +(http://\S+)$", output, re.MULTILINE)
        return found if len(found) == 2 else []

    return wait_for(printed, "the demo's addresses", timeout=30)


@contextmanager
def open_stream(url: str, prompt: str | None = None) -> Iterator[None]:
    """A client of the ticker, or of an answer to a prompt."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    with closing(HTTPConnection(parts.hostname, parts.port, timeout=10)) as connection:
        if prompt is None:
            connection.request("GET", "/events/ticker", headers={"Accept": "text/event-stream"})
        else:
            body = json.dumps({"prompt": prompt})
            connection.request("POST", "/chat", body, {"Content-Type": "application/json"})
        with closing(connection.getresponse()) as response:
            assert response.readline().startswith(b"retry: " if prompt is None else b"event: token")
            yield


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_one_signal_ends_both_although_streams_are_open(number: int) -> None:
    with running([*COMMAND, "--fastapi-port=0", "--express-port=0"]) as child:
        urls = addresses(child)
        with ExitStack() as streams:
            for url in urls:
                streams.enter_context(open_stream(url))
            # Less than what run.py waits before it kills: they have ended by themselves.
            assert child.end(number=number) < 1.5
        assert child.process.returncode == 0
        assert "Traceback" not in child.output()
        assert not any(responds(url) for url in urls)


def test_an_answer_on_its_way_does_not_hold_up_the_end() -> None:
    with running([*COMMAND, "--fastapi-port=0", "--express-port=0"]) as child:
        with ExitStack() as streams:
            for url in addresses(child):
                streams.enter_context(open_stream(url, "Will you be long?"))
            assert child.end() < 3
        assert child.process.returncode == 0
        assert "Traceback" not in child.output()


def test_ports_that_are_taken_are_avoided() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [*COMMAND, f"--fastapi-port={port}", f"--express-port={port}"]
        with running(command) as child:
            ports = [urlsplit(url).port for url in addresses(child)]
            assert len({port, *ports}) == 3
            assert f"Port {port} is taken." in child.output()


def test_a_server_that_dies_is_reported(tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho 'no addon'\nexit 3\n")
    node.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    with running([*COMMAND, "--fastapi-port=0", "--express-port=0"], env={"PATH": path}) as child:
        child.process.wait(10)
        assert child.process.returncode == 1
        assert "Express | no addon" in child.output()
        assert "Express has ended by itself, with exit code 3" in child.output()
        assert "Traceback" not in child.output()
