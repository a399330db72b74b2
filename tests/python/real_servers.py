"""Real servers, each a process of its own: how to start them, and what may be expected of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from http_stream import Address, stats
from processes import Child, free_port, running

APPS = str(Path(__file__).parent / "apps")
SSE = {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class Server:
    """How to start a server, and what may be expected of it."""

    name: str
    command: tuple[str, ...]
    # Streams at the same time.
    streams: int = 20
    # Whether a SIGTERM ends streams as the protocol says.
    clean_end: bool = True

    def __str__(self) -> str:
        return self.name


def uvicorn(http: str, loop: str, app: str = "asgi_app:app") -> Server:
    command = ("uvicorn", app, "--app-dir", APPS, "--port", "{port}", "--http", http)
    return Server(f"uvicorn-{http}-{loop}", (*command, "--loop", loop))


def hypercorn(app: str = "asgi_app:app") -> Server:
    return Server("hypercorn", ("hypercorn", app, "-b", "127.0.0.1:{port}"))


def gunicorn(worker: str, *options: str, app: str = "flask_app:app") -> Server:
    command = ("gunicorn", app, "--chdir", APPS, "-b", "127.0.0.1:{port}", "-k", worker, *options)
    return Server(f"gunicorn-{worker.rpartition('.')[2]}", command)


UVICORN = uvicorn("httptools", "uvloop")
ASGI = [
    *(uvicorn(http, loop) for http in ("h11", "httptools") for loop in ("asyncio", "uvloop")),
    hypercorn(),
    gunicorn("uvicorn_worker.UvicornWorker", app="asgi_app:app"),
]
SYNC = gunicorn("sync")
THREADED = [
    gunicorn("gthread", "--threads", "30"),
    gunicorn("gevent"),
    Server(
        "werkzeug",
        (sys.executable, f"{APPS}/flask_app.py", "{port}"),
        # It has no graceful end.
        clean_end=False,
    ),
]
WSGI = [SYNC, *THREADED]
DETACHED = "/events"
IN_LOOP = "/events?handoff=off"


@contextmanager
def serving(server: Server, **more: str) -> Iterator[tuple[Child, Address]]:
    port = free_port()
    command = [part.format(port=port) for part in server.command]
    env = {"PYTHONPATH": APPS, **more}
    with running(command, url=f"http://127.0.0.1:{port}/", env=env) as child:
        yield child, ("127.0.0.1", port)


def no_complaints(child: Child) -> None:
    output = child.output()
    assert "Traceback" not in output, output
    assert not re.search(r"\bERROR\b|\[error\]|Task exception|never (retrieved|awaited)", output), (
        output
    )


def gone(address: Address, connections: int = 0) -> bool:
    return bool(stats(address)["connections"] == connections)
