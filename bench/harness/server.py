"""A server under test, and what the operating system knows about it."""

from __future__ import annotations

import http.client
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from .worker import BENCH, WorkerError

HOST = "127.0.0.1"
PROC = Path("/proc")
START_SECONDS = 30.0
STOP_SECONDS = 5.0


class Server:
    """A server process on a free port of the loopback interface."""

    def __init__(self, name: str, command: Sequence[str | Path]) -> None:
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
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

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

    def request(self, method: str, path: str) -> None:
        """One short request; raise WorkerError unless it succeeds."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=START_SECONDS)
        try:
            connection.request(method, path)
            status = connection.getresponse().status
        finally:
            connection.close()
        if status >= 300:
            raise WorkerError(f"{self.name}: {method} {path} answered {status}")

    def cpu_seconds(self) -> float:
        """The processor time of all threads of the process and of its children."""
        total = 0
        for process in _family(self._process.pid):
            for task in (PROC / str(process) / "task").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):
                    total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def resident_bytes(self) -> int:
        """The resident memory of the process and of its children, after a garbage collection."""
        self.request("POST", "/gc")
        total = 0
        for process in _family(self._process.pid):
            for line in (PROC / str(process) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    total += int(line.split()[1]) * 1024
        return total

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
