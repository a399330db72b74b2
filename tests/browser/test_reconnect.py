"""Chromium's own EventSource on a bare page, while the server ends its streams: it reconnects, nothing is lost or doubled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count, pairwise

import httpx
import pytest

from pages import Page
from processes import Child, free_port, running, wait_for

PYTHON = [sys.executable, "-m", "uvicorn", "--app-dir=tests/browser", "--log-level=warning"]
COMMANDS: dict[str, Callable[[int], list[str]]] = {
    "FastAPI": lambda port: [*PYTHON, f"--port={port}", "reconnect_app:app"],
    "Express": lambda port: ["node", "tests/browser/reconnect_app.js", str(port)],
}


@dataclass
class Server:
    """The test's server, and how many events it has published."""

    name: str
    port: int = field(default_factory=free_port)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    published: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def running(self) -> AbstractContextManager[Child]:
        return running(COMMANDS[self.name](self.port), url=self.url)

    def publish(self, number: int) -> None:
        with httpx.Client(base_url=self.url) as client:
            for _ in range(number):
                n = next(self.numbers)
                client.post(f"publish/{n}").raise_for_status()
                self.published.append(n)

    def cut(self) -> int:
        return int(httpx.post(f"{self.url}cut").json())

    def streams(self) -> int:
        return int(httpx.get(f"{self.url}streams").json())


@pytest.fixture(params=COMMANDS)
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request.param)


def assert_all_came_once(page: Page, server: Server) -> None:
    page.until(f"seen.ns.length >= {len(server.published)}")
    seen = page.js("seen")
    assert seen["ns"] == server.published
    places = [int(id.rsplit("-", 1)[1]) for id in seen["ids"]]
    assert all(a < b for a, b in pairwise(places))
    assert seen["gaps"] == []


def leave(page: Page, server: Server) -> None:
    """Before the server goes: a page that came back to none would complain."""
    page.js("source.close()")
    wait_for(lambda: server.streams() == 0, "the end of the stream")


def test_streams_ended_by_the_server_resume(page: Page, server: Server) -> None:
    with server.running():
        page.open(server.url)
        page.until("seen.opens === 1")
        # The first time before any event: the opening block has told the browser where it is.
        for cuts in range(1, 6):
            assert server.cut() == 1
            server.publish(7)
            page.until(f"seen.opens === {cuts + 1}")
            assert_all_came_once(page, server)
            assert page.js("seen.farewells") == cuts
            server.publish(2)
            assert_all_came_once(page, server)
        assert page.js("seen.errors") == 5
        leave(page, server)


def test_cuts_in_the_middle_of_a_flood_lose_nothing(page: Page, server: Server) -> None:
    with server.running():
        page.open(server.url)
        page.until("seen.opens === 1")
        for _ in range(10):
            server.publish(20)
            server.cut()
        server.publish(20)
        assert_all_came_once(page, server)
        assert page.js("seen.opens") > 1
        leave(page, server)


def test_a_restarted_server_tells_of_a_gap(page: Page, server: Server) -> None:
    page.loses_connections = True
    with server.running() as child:
        page.open(server.url)
        page.until("seen.opens === 1")
        server.publish(3)
        assert_all_came_once(page, server)
        last = page.js("seen.ids.at(-1)")
        child.end()
    page.until("seen.errors >= 1")
    with server.running():
        page.until("seen.opens === 2", timeout=20)
        page.until("seen.gaps.length === 1")
        assert page.js("seen.gaps") == [{"last_event_id": last, "reason": "unknown"}]
        server.publish(3)
        page.until("seen.ns.length === 6")
        assert page.js("seen.ns") == server.published
        epochs = {id.rsplit("-", 1)[0] for id in page.js("seen.ids")}
        assert len(epochs) == 2
