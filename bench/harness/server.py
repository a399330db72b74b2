"""A server under test, and what the operating system knows about it."""

from __future__ import annotations

import http.client
import os
import resource
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from .worker import BENCH, WorkerError

HOST = "127.0.0.1"
PROC = Path("/proc")
START_SECONDS = 30.0
STOP_SECONDS = 5.0
ENOUGH = 60_000
"""Descriptors for the largest run: 50,000 streams."""
SPARE = 1_000
"""Descriptors that a server needs besides its streams: while one is handed over it has two."""


class Server:
    """A server process on a free port of the loopback interface."""

    def __init__(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]
    ) -> None:
        """Start it; `{port}` in the command becomes the port."""
        self.name = name
        self.port = _free_port()
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [str(part).replace("{port}", str(self.port)) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=BENCH,
            env={**os.environ, **environment},
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self.port}"

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._output.seek(0)
                errors = [line.strip() for line in self._output if "Error" in line]
                raise WorkerError(f"{self.name}: {(errors or ['ended at its start'])[-1]}")
            with suppress(ConnectionError):
                self.request("GET", "/fast")
                return
            time.sleep(0.05)
        raise WorkerError(f"{self.name}: not ready after {START_SECONDS:.0f} s")

    def request(self, method: str, path: str) -> str:
        """The body that a short request gets; raise WorkerError unless it succeeds."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=START_SECONDS)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read().decode()
        except TimeoutError as error:
            raise WorkerError(f"{self.name}: {method} {path} was not answered") from error
        finally:
            connection.close()
        if response.status >= 300:
            raise WorkerError(f"{self.name}: {method} {path} answered {response.status}")
        return body

    def cpu_seconds(self) -> float:
        """The processor time of all threads of the process and of its children."""
        total = 0
        for process in _family(self._process.pid):
            for task in (PROC / str(process) / "task").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):
                    total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def user_memory(self) -> int:
        """The anonymous memory of the process and its children, after a garbage collection."""
        self.request("POST", "/gc")
        return sum(
            _kibibytes(PROC / str(process) / "status", "RssAnon")
            for process in _family(self._process.pid)
        )

    def stop(self) -> None:
        """End the process; one that waits for its streams is killed."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def descriptors() -> int:
    """How many descriptors a process may have; all that start from now on may have as many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (max(hard, ENOUGH), hard):
        # Only some users may have more than the hard limit.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            return most
    return hard


def most_clients(wanted: int) -> int:
    """So many clients, or as many as the limit of open files allows."""
    return min(wanted, descriptors() - SPARE)


def kernel_memory() -> int:
    """What the kernel's objects take on this machine, sockets among them."""
    return _kibibytes(PROC / "meminfo", "Slab")


def socket_buffers() -> int:
    """What the buffers of all TCP sockets of this machine take."""
    line = (PROC / "net" / "sockstat").read_text().partition("TCP: ")[2].splitlines()[0]
    fields = line.split()
    return int(fields[fields.index("mem") + 1]) * resource.getpagesize()


def _kibibytes(file: Path, name: str) -> int:
    lines = (line.split() for line in file.read_text().splitlines())
    return next(int(line[1]) * 1024 for line in lines if line[0] == f"{name}:")


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _family(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for task in (PROC / str(pid) / "task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in (task / "children").read_text().split():
                yield from _family(int(child))
