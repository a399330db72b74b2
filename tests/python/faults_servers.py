"""The servers that clients and proxies fail in front of: event loops, threads, greenlets. What they say of their streams."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import handoff_servers
import wsgi_servers
from handoff_servers import modes, seen
from http_stream import Address, Wire, stats
from processes import Child, wait_for

# As many threads as there are held streams, and more.
_GUNICORNS = {
    server.name: server.with_options("--threads", "16")
    if server is wsgi_servers.GTHREAD
    else server
    for server in wsgi_servers.GUNICORNS
}
_EXPRESS = handoff_servers.Server("express", ("node", "tests/node/programs/host.js", "{port}"))
NO_ENV: Mapping[str, str] = {}


@dataclass(frozen=True)
class Host:
    """A server, and how its streams are handed over."""

    name: str
    handoff: str = "detach"

    def __str__(self) -> str:
        return f"{self.name}-{self.handoff}"

    @property
    def mode(self) -> str:
        return {"detach": "detached", "hold": "held"}[self.handoff]

    def serving(
        self, env: Mapping[str, str] = NO_ENV
    ) -> AbstractContextManager[tuple[Child, Address]]:
        if self.name == "uvicorn":
            server = handoff_servers.UVICORN.with_options("--backlog", "4096")
            return handoff_servers.serving(server, env=env)
        if self.name == "express":
            return handoff_servers.serving(_EXPRESS, env=env)
        return wsgi_servers.serving(
            _GUNICORNS[self.name].with_options("--backlog", "4096"), env=env
        )

    def path(self, query: str = "") -> str:
        return f"/events?handoff={self.handoff}&{query}"

    def ends(self, address: Address) -> list[tuple[str, str]]:
        """Mode and reason of each stream that the callbacks have been told the end of."""
        if self.name == "uvicorn":
            return [(mode, reason) for mode, reason, *_ in seen(address)["closed"]]
        told = stats(address)["told"]
        return [(mode, reason) for what, mode, reason in told if what == "close"]

    def wait_ends(self, address: Address, *ends: tuple[str, str]) -> None:
        """Waits until the callbacks have been told of these ends, in whatever order, and of no others."""
        wait_for(
            lambda: sorted(self.ends(address)) == sorted(ends),
            f"{ends}, and not {self.ends(address)}",
            timeout=20,
        )

    @contextmanager
    def reading(self, address: Address, count: int, query: str = "") -> Iterator[list[Wire]]:
        """So many streams that the engine writes."""
        there = modes(address).get(self.mode, 0)
        with ExitStack() as stack:
            wires = [
                stack.enter_context(Wire(address, self.path(query), headers=handoff_servers.SSE))
                for _ in range(count)
            ]
            wait_for(
                lambda: modes(address).get(self.mode) == there + count, "all streams", timeout=30
            )
            yield wires


UVICORN = Host("uvicorn")
HELD = Host("uvicorn", "hold")
GUNICORN = Host("gunicorn-sync")
HOSTS = [UVICORN, HELD, GUNICORN]
# Those in front of which clients do not have to fail anew: what they do differently is seen by proxies.
MORE_HOSTS = [
    Host("gunicorn-gthread"),
    Host("gunicorn-gthread", "hold"),
    Host("gunicorn-gevent"),
    Host("express"),
    Host("express", "hold"),
]


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid: int) -> float:
    """Resident memory in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def pid_of(address: Address) -> int:
    """The process that answers: gunicorn's worker, and not its master."""
    return int(stats(address)["pid"])
