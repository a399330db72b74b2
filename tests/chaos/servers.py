"""The servers under test: started, ended in several ways, and looked at from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from processes import ENVIRONMENT

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
APPS = HERE / "apps"
BIN = Path(sys.executable).parent

# What must not be in a server's log, and what is there since we did it.
COMPLAINTS = ("Traceback", "panicked", "ERROR", "[error]", "never awaited", "UnhandledPromise")
EXPECTED = "was sent SIGKILL"


@dataclass(frozen=True)
class Kind:
    """A server, and how its streams may be served."""

    name: str
    command: Sequence[str]
    handoffs: Sequence[str]
    # A master starts its workers anew: told to by SIGHUP, and when one has gone.
    has_workers: bool = False


_MIXED = ("detach", "detach", "detach", "hold", "off")
_UVICORN = [f"{BIN}/uvicorn", "fastapi_app:app", "--app-dir", f"{APPS}", "--port", "{port}"]
_GUNICORN = [f"{BIN}/gunicorn", "flask_app:app", "--chdir", f"{APPS}", "-b", "127.0.0.1:{port}"]
KINDS = [
    Kind("uvicorn", [*_UVICORN, "--no-access-log", "--backlog", "4096"], _MIXED),
    # One thread: a stream that is not the engine's would be its only one.
    Kind("gunicorn", [*_GUNICORN, "-k", "sync", "-w", "1", "--backlog", "4096"], ("detach",), True),
    # Threads for all who may have one.
    Kind("gthread", [*_GUNICORN, "-k", "gthread", "--threads", "400"], _MIXED, True),
    # Memory is what is in use: they collect their garbage before they are looked at.
    Kind("express", ["node", "--expose-gc", f"{APPS}/express_app.js"], _MIXED),
    Kind("fastify", ["node", "--expose-gc", f"{APPS}/fastify_app.js"], _MIXED),
]


@dataclass
class Look:
    """What a server's process holds at one time."""

    pid: int
    rss: float
    descriptors: int
    stats: dict[str, Any]

    @property
    def connections(self) -> int:
        return int(self.stats["connections"])


class Server:
    """One kind of server, in one life after another, at one port."""

    def __init__(self, kind: Kind, port: int, clients: int, folder: Path) -> None:
        self.kind = kind
        self.port = port
        self.journals = folder / "journals"
        self.journals.mkdir()
        self._log = (folder / "server.log").open("a+b")
        path = [f"{APPS}", f"{HERE}", os.environ.get("PYTHONPATH", "")]
        self._env = {
            **os.environ,
            "CHAOS_JOURNALS": str(self.journals),
            "CHAOS_CLIENTS": str(clients),
            "CHAOS_PORT": str(port),
            "PYTHONPATH": os.pathsep.join(path),
            **ENVIRONMENT,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Look:
        """Starts it, and waits until it answers."""
        command = [part.format(port=self.port) for part in self.kind.command]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            # A process group of its own, which a kill is sent to as a whole.
            start_new_session=True,
        )
        return self._wait_answer()

    def _wait_answer(self, other_than: int = 0) -> Look:
        """What it holds, as soon as it answers: a new process, and not this one."""
        deadline = time.monotonic() + 30
        while True:
            # It does not answer yet, or is just ending.
            with suppress(OSError, HTTPException):
                look = self.look()
                if look.pid != other_than:
                    return look
            if (
                time.monotonic() > deadline
                or self._process is None
                or self._process.poll() is not None
            ):
                raise RuntimeError(f"no answer:\n{self.output()}")
            time.sleep(0.1)

    def renew(self, how: str) -> None:
        """Has a worker replaced by another."""
        assert self._process is not None
        worker = self.look().pid
        if how == "worker":
            os.kill(worker, signal.SIGKILL)
        else:
            self._process.send_signal(signal.SIGHUP)
        self._wait_answer(other_than=worker)

    def end(self, number: int) -> float:
        """Ends it by this signal. The seconds that it took; TimeoutExpired where it does not end."""
        if self._process is None:
            return 0.0
        begin = time.monotonic()
        if number == signal.SIGKILL:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)
        self._process.wait(30)
        self._process = None
        return time.monotonic() - begin

    def kill(self) -> None:
        """Ends it, whatever its state."""
        if self._process is not None:
            self.end(signal.SIGKILL)

    def post(self, path: str) -> None:
        with urlopen(Request(f"http://127.0.0.1:{self.port}{path}", method="POST"), timeout=20):
            pass

    def look(self) -> Look:
        with urlopen(f"http://127.0.0.1:{self.port}/stats", timeout=10) as response:
            stats: dict[str, Any] = json.load(response)
        pid = int(stats["pid"])
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        rss = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return Look(pid, rss, len(os.listdir(f"/proc/{pid}/fd")), stats)

    def epoch(self) -> str:
        """The present life: the newest journal."""
        newest = max(self.journals.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return newest.name.removesuffix(".journal")

    def output(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def complaints(self) -> list[str]:
        """Lines of its log that would worry its owner, with what follows."""
        lines = self.output().splitlines()
        worst = [
            n
            for n, line in enumerate(lines)
            if EXPECTED not in line and any(word in line for word in COMPLAINTS)
        ]
        return ["\n".join(lines[n : n + 12]) for n in worst[:5]]


@contextmanager
def serving(kind: Kind, port: int, clients: int, folder: Path) -> Iterator[Server]:
    server = Server(kind, port, clients, folder)
    try:
        yield server
    finally:
        server.kill()
