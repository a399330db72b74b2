"""WSGI servers for the hand-off tests."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from handoff_servers import APPS, SSE, modes, refusals
from http_stream import Address, Wire, stats
from processes import Child, free_port, running, wait_for


@dataclass(frozen=True)
class Server:
    """How to start a server. `{port}` is filled in."""

    name: str
    command: tuple[str, ...]
    # Whether bodies are in chunks; otherwise the end of the connection is theirs.
    chunked: bool = True
    # Whether it asks Python what to do at SIGTERM, or is asked by it. Otherwise the system ends the process.
    hears_term: bool = True
    # Streams that it can hold at the same time.
    holds: int = 3

    def __str__(self) -> str:
        return self.name

    def with_options(self, *options: str) -> Server:
        return replace(self, command=(*self.command, *options))


def gunicorn(worker: str, *options: str, holds: int = 3) -> Server:
    command = ("gunicorn", "handoff_app:app", "--chdir", APPS, "-b", "127.0.0.1:{port}")
    return Server(f"gunicorn-{worker}", (*command, "-k", worker, *options), holds=holds)


def own(name: str, **more: bool | int) -> Server:
    return Server(name, (sys.executable, f"{APPS}/handoff_app.py", name, "{port}"), **more)  # type: ignore[arg-type]


SYNC = gunicorn("sync", holds=1)
GTHREAD = gunicorn("gthread", "--threads", "4")
GEVENT = gunicorn("gevent")
GUNICORNS = [SYNC, GTHREAD, GEVENT]
WERKZEUG = own("werkzeug", hears_term=False)
WERKZEUG_SINGLE = own("werkzeug-single", chunked=False, holds=1)
WAITRESS = own("waitress", hears_term=False)
RUNSERVER = own("runserver", chunked=False, hears_term=False)
SERVERS = [*GUNICORNS, WERKZEUG, WERKZEUG_SINGLE, WAITRESS, RUNSERVER]


@contextmanager
def serving(
    server: Server, middleware: str = "", env: Mapping[str, str] | None = None
) -> Iterator[tuple[Child, Address]]:
    """Runs a server, with middlewares of the application's around it."""
    port = free_port()
    command = [part.format(port=port) for part in server.command]
    environment = {"PYTHONPATH": APPS, "SSEHUB_TEST_MIDDLEWARE": middleware, **(env or {})}
    with running(command, url=f"http://127.0.0.1:{port}/", env=environment) as child:
        yield child, ("127.0.0.1", port)


@contextmanager
def detached(address: Address, count: int, path: str = "/events") -> Iterator[list[Wire]]:
    """So many streams that the engine has."""
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(address, path, headers=SSE)) for _ in range(count)]
        wait_for(lambda: modes(address) == {"detached": count}, "all streams", timeout=30)
        yield wires


def told(address: Address) -> list[list[str]]:
    """What the callbacks have been told: which callback, mode, reason."""
    found: list[list[str]] = stats(address)["told"]
    return found


def wait_told(address: Address, *what: list[str]) -> None:
    """Waits until the callbacks have been told so, in this order, and nothing else."""
    wait_for(lambda: told(address) == list(what), f"{what} and not {told(address)}")


def wait_refused(address: Address, **reasons: int) -> None:
    """Waits until so many hand-offs have been refused, by reason."""
    wait_for(lambda: refusals(address) == reasons, f"{reasons} and not {refusals(address)}")


def read_until(sock: socket.socket, what: bytes) -> bytes:
    """What comes from a connection, up to something and perhaps a little more."""
    data = b""
    while what not in data:
        more = sock.recv(65536)
        if not more:
            raise EOFError(data)
        data += more
    return data
