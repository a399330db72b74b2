"""ASGI servers for the hand-off tests, and what the test application says of itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from http_stream import Address, Wire, stats
from processes import Child, free_port, running, wait_for

APPS = str(Path(__file__).parent / "apps")
SSE = {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class Server:
    """How to start a server. `{app}` and `{port}` are filled in."""

    name: str
    command: tuple[str, ...]

    def __str__(self) -> str:
        return self.name

    def with_options(self, *options: str) -> Server:
        return replace(self, command=(*self.command, *options))


def uvicorn(http: str, loop: str) -> Server:
    command = ("uvicorn", "handoff_asgi_app:{app}", "--app-dir", APPS, "--port", "{port}")
    return Server(f"uvicorn-{http}-{loop}", (*command, "--http", http, "--loop", loop))


def hypercorn(loop: str) -> Server:
    command = ("hypercorn", "handoff_asgi_app:{app}", "-b", "127.0.0.1:{port}", "-k", loop)
    return Server(f"hypercorn-{loop}", command)


def gunicorn(worker: str, name: str) -> Server:
    command = ("gunicorn", "handoff_asgi_app:{app}", "--chdir", APPS, "-b", "127.0.0.1:{port}")
    return Server(name, (*command, "-k", worker))


UVICORN = uvicorn("httptools", "uvloop")
SERVERS = [
    *(uvicorn(http, loop) for http in ("h11", "httptools") for loop in ("asyncio", "uvloop")),
    hypercorn("asyncio"),
    hypercorn("uvloop"),
    gunicorn("uvicorn_worker.UvicornWorker", "gunicorn-uvicorn"),
    gunicorn("asgi", "gunicorn-asgi"),
]


@contextmanager
def serving(
    server: Server, app: str = "app", env: Mapping[str, str] | None = None
) -> Iterator[tuple[Child, Address]]:
    port = free_port()
    command = [part.format(port=port, app=app) for part in server.command]
    environment = {"PYTHONPATH": APPS, **(env or {})}
    with running(command, url=f"http://127.0.0.1:{port}/", env=environment) as child:
        yield child, ("127.0.0.1", port)


def seen(address: Address) -> dict[str, Any]:
    """What the application has seen of its streams, and what it holds."""
    with Wire(address, "/seen", headers={"Connection": "close"}) as wire:
        wire.wait_end()
        found: dict[str, Any] = json.loads(wire.body)
        return found


def modes(address: Address) -> dict[str, int]:
    """Open streams by mode, those that there are."""
    found = stats(address)["connections_by_mode"]
    return {mode: count for mode, count in found.items() if count}


def refusals(address: Address) -> dict[str, int]:
    """Hand-offs refused, by reason."""
    found = stats(address)["handoffs_refused"]
    return {reason: count for reason, count in found.items() if count}


def wait_until_gone(address: Address, count: int = 0) -> None:
    wait_for(lambda: stats(address)["connections"] == count, f"{count} streams", timeout=10)


def no_complaints(child: Child) -> None:
    """Nothing in the server's log that would worry its owner."""
    output = child.output()
    words = "Traceback|ERROR|\\[error\\]|Task exception|never awaited|without completing"
    found = re.search(words, output)
    assert found is None, output[max(found.start() - 1000, 0) : found.start() + 3000]
