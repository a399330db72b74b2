"""Servers as the tests need them: child processes on free ports, ended when the test is over."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


# Below those that the system gives to clients, and for each of the processes that pytest runs others: nobody takes a
# port between the look at it and the server's start. Other runs on this machine begin elsewhere in the range.
_RANGE = 2_000
_FIRST = 12_000 + _RANGE * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_OFFSET = os.getpid() * 97
_ports = (_FIRST + number % _RANGE for number in itertools.count(_OFFSET))


def free_port() -> int:
    """A port that nobody listens at, on the loopback address."""
    for port in itertools.islice(_ports, _RANGE):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError(f"no port is free from {_FIRST} on")


def wait_for(
    condition: Callable[[], T], what: str, timeout: float = 10.0, every: float = 0.02
) -> T:
    """The condition's first true value; TimeoutError where there is none in time."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout} s: {what}; last seen: {value!r}")
        time.sleep(every)


ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    # It would have the same path for all gunicorns of a user, and each removes it when it ends.
    "GUNICORN_CMD_ARGS": "--no-control-socket",
}


class Child:
    """A process that a test has started."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.process = process
        self._log = log

    def output(self) -> str:
        """All it has printed so far."""
        # The child shares the position in the file: one that prints meanwhile would move it.
        number = self._log.fileno()
        return os.pread(number, os.fstat(number).st_size, 0).decode(errors="replace")

    def end(self, timeout: float = 8.0, number: int = signal.SIGTERM) -> float:
        """Asks it to end, and waits. The seconds that it took."""
        begin = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout)
        return time.monotonic() - begin


@contextmanager
def running(
    command: Sequence[str], *, url: str | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """Runs a command in the repository's folder, with the programs of this Python's environment.

    Args:
        command: The program and its arguments.
        url: An address to wait for: any answer to GET will do.
        env: More environment variables.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # For appending: the child writes at the end, wherever we read.
    with tempfile.TemporaryFile("a+b") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PATH": path, **ENVIRONMENT, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is for pytest alone; its fixtures then end this.
            start_new_session=True,
        )
        child = Child(process, log)
        try:
            if url is not None:
                _wait_until_it_answers(child, url)
            yield child
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _wait_until_it_answers(child: Child, url: str) -> None:
    def answers() -> bool:
        if child.process.poll() is not None:
            raise RuntimeError(f"{child.process.args!r} has ended:\n{child.output()}")
        return responds(url)

    try:
        wait_for(answers, f"an answer from {url}", timeout=20, every=0.05)
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{child.output()}") from None


def responds(url: str) -> bool:
    """Whether a server answers, whatever it says."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=2)
    try:
        connection.request("GET", parts.path or "/")
        connection.getresponse()
    except (OSError, HTTPException):
        return False
    else:
        return True
    finally:
        connection.close()
