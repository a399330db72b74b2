"""Programs under test as workers, and the interleaved measurement of several of them."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any

BENCH = Path(__file__).resolve().parent.parent

ANSWER_SECONDS = 180.0
"""No request takes longer; a worker that does not answer is ended."""


class WorkerError(Exception):
    """A worker could not start, or a request failed. The text says why."""


class Worker:
    """A child process that answers one line of JSON per request."""

    def __init__(self, name: str, command: Sequence[str | Path]) -> None:
        self.name = name
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            cwd=BENCH,
        )
        try:
            self.version: str = self._receive()["version"]
        except BaseException:
            self.close()
            raise

    def ask(self, **request: object) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # It is gone; reading says why.
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        watchdog = Timer(ANSWER_SECONDS, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise WorkerError(f"{self.name}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.name}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        self._process.kill()
        self._process.wait()
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr]
        errors = [line for line in lines if "Error" in line]
        return (errors or lines or ["ended without a word"])[-1]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._stderr.close()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # A request that a dead worker never took.
                pipe.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Team:
    """The workers of one comparison, all alive, of which one at a time works."""

    def __init__(self, commands: dict[str, Sequence[str | Path]]) -> None:
        self.workers: list[Worker] = []
        self.failures: dict[str, str] = {}
        self._stack = ExitStack()
        for name, command in commands.items():
            try:
                self.workers.append(self._stack.enter_context(Worker(name, command)))
            except WorkerError as error:
                self.failures[name] = str(error)

    @property
    def versions(self) -> dict[str, str]:
        """The version of each worker that runs."""
        return {worker.name: worker.version for worker in self.workers}

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def interleave(workers: Sequence[Worker], repeat: int, **request: object) -> dict[str, list[float]]:
    """Seconds per pass of these workers, `repeat` times in turn: A B C, A B C, ..."""
    samples: dict[str, list[float]] = {worker.name: [] for worker in workers}
    for _ in range(repeat):
        for worker in workers:
            samples[worker.name].append(worker.ask(**request)["seconds"])
    return samples
