"""Each client against each server: what the one language sends, the other understands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from processes import Child, free_port, running, wait_for

HERE = Path(__file__).parent
UVICORN = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "server:app", "--port"]
SERVERS = {"python": UVICORN, "node": ["node", str(HERE / "server.js")]}
CLIENTS = {
    "python": [sys.executable, str(HERE / "client.py")],
    "node": ["node", str(HERE / "client.js")],
}
# Both ways in which each of them reads.
READERS = [(language, both) for language in CLIENTS for both in (False, True)]
ODD = [
    "",
    " leading",
    "two\nlines",
    "é日🙂\u2028",
    "\ufeff",
    '{"a": "b"}',
    "data: x",
    "x" * 100_000,
]


class Server:
    """One of the two servers, over HTTP."""

    def __init__(self, base: str) -> None:
        self.base = base

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.base + path, data, headers, method=method)
        with urlopen(request, timeout=10) as response:
            return json.load(response)

    def publish(self, data: Any, event: str | None = None) -> str:
        return str(self.ask("POST", "/publish", {"data": data, "event": event}))

    def streams(self, count: int) -> None:
        wait_for(lambda: self.ask("GET", "/streams") == count, f"{count} streams")


class Client:
    """One of the two clients, and the lines that it prints."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def told(self, kind: str | None = None) -> list[dict[str, Any]]:
        complete = self._child.output().rpartition("\n")[0]
        lines = [json.loads(line) for line in complete.split("\n") if line]
        return [line for line in lines if kind in (None, line["kind"])]

    def data(self) -> list[str]:
        return [line["data"] for line in self.told("event")]

    def until(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        def enough() -> bool:
            return len(self.told(kind)) >= count

        wait_for(enough, f"{count} x {kind}")
        return self.told(kind)


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with running([*SERVERS[request.param], str(port)], url=f"{base}/streams"):
        yield Server(base)


@contextmanager
def reading(language: str, in_async: bool, url: str, **options: Any) -> Iterator[Client]:
    """One of the two clients, in one of its two ways."""
    command = [*CLIENTS[language], url, json.dumps({"async": in_async, **options})]
    with running(command) as child:
        yield Client(child)


def name(reader: tuple[str, bool]) -> str:
    return f"{reader[0]}-{'async' if reader[1] else 'plain'}"


@pytest.fixture(params=READERS, ids=name)
def client(request: pytest.FixtureRequest) -> Any:
    return partial(reading, *request.param)


def test_each_event_once_and_as_it_was(server: Server, client: Any) -> None:
    with client(f"{server.base}/events") as reader:
        server.streams(1)
        for number, text in enumerate(ODD):
            server.publish(text, event="posted" if number % 2 else None)
            if number == 3:
                # It comes back by itself, and what is published meanwhile is not lost.
                assert server.ask("POST", "/cut") == 1
        last = server.publish({"n": [1.5, None, "ü"]})
        events = reader.until("event", len(ODD) + 1)
        assert [line["data"] for line in events] == [*ODD, '{"n":[1.5,null,"ü"]}']
        assert [line["event"] for line in events[:2]] == ["message", "posted"]
        assert events[-1]["id"] == last
        assert len(reader.told("open")) == 2
    server.streams(0)


def test_resume_in_another_life_and_a_gap(server: Server, client: Any) -> None:
    seen = server.publish("before")
    expected = [str(number) for number in range(10)]
    for text in expected:
        server.publish(text)
    with client(f"{server.base}/events", last_event_id=seen) as reader:
        reader.until("event", 10)
        assert reader.data() == expected
        assert reader.told("gap") == []
    for number in range(60):
        server.publish(str(number))
    with client(f"{server.base}/events", last_event_id=seen) as reader:
        reader.until("event", 50)
        assert reader.data() == [str(number) for number in range(10, 60)]
        assert [line["reason"] for line in reader.told("gap")] == ["expired"]
    with client(f"{server.base}/events", last_event_id="of-another-server") as reader:
        assert reader.until("gap")[0]["reason"] == "unknown"
    server.streams(0)


def test_an_answer_with_a_token_and_its_end(server: Server, client: Any) -> None:
    url = f"{server.base}/answer"
    with client(url, words=["one", "zwei", "三", "[DONE]", "never"], stop_on="[DONE]") as reader:
        end = reader.until("end")[0]
        assert reader.data() == ["one", "zwei", "三"]
        assert (end["finished"], end["failed"]) == (True, False)
        assert [line["status"] for line in reader.told("error")] == [401]
    with client(url, words=["one", "zwei"], stop_on="[DONE]") as reader:
        end = reader.until("end")[0]
        assert reader.data() == ["one", "zwei"]
        assert (end["finished"], end["failed"]) == (False, True)


@pytest.mark.parametrize("language", SERVERS)
def test_drain(language: str) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with running([*SERVERS[language], str(port)], url=f"{base}/streams"), ExitStack() as readers:
        server = Server(base)
        clients = [readers.enter_context(reading(*reader, f"{base}/events")) for reader in READERS]
        server.streams(len(clients))
        server.publish("last")
        server.ask("POST", "/drain")
        for client in clients:
            # An orderly end, and nobody there to come back to.
            client.until("error")
            assert client.data() == ["last", "bye"]
