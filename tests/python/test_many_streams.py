"""Thousands of streams in one worker, which answers meanwhile: run by `make test-slow`. The numbers are printed (`-s`)."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

import handoff_servers
import wsgi_servers
from handoff_servers import SSE, UVICORN, modes, no_complaints, refusals, seen
from http_stream import Address, Wire, post
from processes import running, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
# What a process needs beside its streams.
SPARE = 300


@pytest.fixture(autouse=True)
def many_descriptors() -> Iterator[int]:
    """As many as the system allows, for the servers, too. How many streams that is enough for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard - SPARE
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def streams(address: Address, count: int) -> Iterator[list[Wire]]:
    """So many streams that the engine has."""
    begin = time.monotonic()
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(address, headers=SSE)) for _ in range(count)]
        wait_for(lambda: modes(address) == {"detached": count}, "all streams", timeout=60)
        print(f"\n{count} streams in {time.monotonic() - begin:.1f} s", end="")
        yield wires


@contextmanager
def asking(address: Address) -> Iterator[Callable[[], list[float]]]:
    """A process that asks for what is trivial, again and again. How long each answer took so far, in seconds."""
    assert not isinstance(address, str)
    host, port = address
    with running([sys.executable, "tests/python/apps/asking.py", host, str(port)]) as child:

        def took() -> list[float]:
            assert child.process.poll() is None, child.output()
            return [float(line) for line in child.output().splitlines()]

        yield took


def percentiles(took: list[float]) -> str:
    ordered = sorted(took)
    p50, p99 = (ordered[int(len(ordered) * part)] * 1000 for part in (0.5, 0.99))
    return f"{len(ordered)} requests meanwhile, p50 {p50:.2f} ms, p99 {p99:.2f} ms"


def step_aside() -> None:
    """This thread takes what the others leave of the processors: in truth the clients are on machines of their own."""
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def read_all(wires: list[Wire], data: str) -> None:
    for wire in wires:
        assert wire.next(timeout=60).data == data


def publish_to(address: Address, wires: list[Wire]) -> None:
    """Events of which each client gets each, while the server answers others.

    Who reads them here takes from the processors even as the lowest, since the system lets it have its turn out. So the
    first are read when all is measured, as if on other machines; the others as they come.
    """
    phases = (
        ("no events", 0, 0.1, None),
        ("ten a second", 20, 0.1, "afterwards"),
        ("ten a second", 20, 0.1, "here meanwhile"),
        ("back to back", 20, 0.0, "here meanwhile"),
    )
    with asking(address) as took, ThreadPoolExecutor(1, initializer=step_aside) as clients:
        wait_for(took, "the first answer", timeout=60)
        for pace, count, every, read in phases:
            begin, asked = time.monotonic(), len(took())
            unread = []
            for number in range(20):
                time.sleep(max(begin + number * every - time.monotonic(), 0))
                if number < count:
                    data = f"{pace} {number}"
                    post(address, data)
                    unread.append(data)
                before = len(took())
                if read == "here meanwhile":
                    clients.submit(read_all, wires, unread.pop()).result()
                wait_for(lambda before=before: len(took()) > before, "an answer", timeout=60)  # type: ignore[misc]
            what = f"{pace}, read {read}" if read else pace
            print(f"\n  {what}: {percentiles(took()[asked:])}", end="")
            for data in unread:
                clients.submit(read_all, wires, data).result()


FLASK = [*wsgi_servers.GUNICORNS, wsgi_servers.WERKZEUG]


@pytest.mark.parametrize("server", FLASK, ids=str)
def test_one_flask_worker(server: wsgi_servers.Server, many_descriptors: int) -> None:
    count = min(2000, many_descriptors)
    if server in wsgi_servers.GUNICORNS:
        server = server.with_options("--workers", "1", "--backlog", "4096")
    with wsgi_servers.serving(server) as (child, address):
        with streams(address, count) as wires:
            publish_to(address, wires)
        wait_for(lambda: modes(address) == {}, "the end of all", timeout=60)
        assert refusals(address) == {}
        no_complaints(child)


def test_one_fastapi_process(many_descriptors: int) -> None:
    """Dependencies are released when a stream is handed over; at the end each client is told, and the process goes."""
    count = min(5000, many_descriptors)
    server = UVICORN.with_options("--backlog", "4096")
    with handoff_servers.serving(server) as (child, address), streams(address, count) as wires:
        assert seen(address)["released"] == count
        publish_to(address, wires)
        # Long enough for any machine: a process that waits for its streams would never end.
        took = child.end(timeout=60)
        print(f"\n  the process's end took {took:.2f} s", end="")
        for wire in wires:
            assert wire.wait_end(), bytes(wire.body)
            assert bytes(wire.body).endswith(b"\n\n")
            assert b"\nretry: " in bytes(wire.body)
        no_complaints(child)
        assert child.output().count("ssehub.access:/events drain detached") == count
