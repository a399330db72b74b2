"""Streams that the engine has outlive their requests, and must not be forgotten when a WSGI server ends."""

from __future__ import annotations

import os
import re
import signal
from contextlib import AbstractContextManager, ExitStack

import pytest

from handoff_servers import SSE, modes, no_complaints, refusals
from http_stream import Address, Wire, post, stats
from processes import Child, wait_for
from wsgi_servers import (
    GEVENT,
    GTHREAD,
    GUNICORNS,
    SERVERS,
    SYNC,
    WAITRESS,
    Server,
    detached,
    own,
    serving,
)

pytestmark = pytest.mark.timeout(120)
MANY = 30


def opened(address: Address) -> AbstractContextManager[list[Wire]]:
    return detached(address, MANY, "/events?own=1")


def all_end(wires: list[Wire]) -> None:
    """Each gets what was published, a time to come back, and an end as the protocol says."""
    for wire in wires:
        assert wire.wait_end(), bytes(wire.body)
        assert wire.next().data == "last"
        assert re.search(rb"retry: \d+\n\n$", wire.body), bytes(wire.body)


def all_told(child: Child) -> None:
    """The callbacks, exactly once for each stream, before the process was gone."""
    lines = ("told close detached drain", "told own detached drain")
    for line in lines:
        wait_for(lambda line=line: child.output().count(line) >= MANY, line)  # type: ignore[misc]
    assert [child.output().count(line) for line in lines] == [MANY, MANY]


@pytest.mark.parametrize("server", SERVERS, ids=str)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_server_is_told_to_stop(server: Server, number: signal.Signals) -> None:
    with serving(server) as (child, address), opened(address) as wires:
        post(address, "last")
        no_complaints(child)
        if number == signal.SIGTERM and not server.hears_term:
            # Python is not asked: the system closes the connections.
            assert {wire.next().data for wire in wires} == {"last"}
            child.end(number=number)
            assert {wire.wait_end() for wire in wires} == {not server.chunked}
            return
        took = child.end(number=number)
        print(f"{server}: {number.name} with {MANY} streams: {took:.2f} s")
        all_end(wires)
        all_told(child)
        # The promise is 2 s; a machine under load gets more.
        assert took < 6
        if number == signal.SIGTERM:
            no_complaints(child)


@pytest.mark.parametrize("server", GUNICORNS, ids=str)
def test_gunicorn_reloads(server: Server) -> None:
    with serving(server) as (child, address), opened(address) as wires:
        before = stats(address)["pid"]
        post(address, "last")
        child.process.send_signal(signal.SIGHUP)
        all_end(wires)
        # The old one may accept for another second.
        wait_for(lambda: f"Worker exiting (pid: {before})" in child.output(), "the old worker")
        all_told(child)
        with Wire(address, headers=SSE) as wire:
            wait_for(lambda: modes(address) == {"detached": 1}, "the hand-off")
            post(address, "x")
            assert wire.next().data == "x"
        no_complaints(child)


@pytest.mark.parametrize("server", GUNICORNS, ids=str)
def test_gunicorn_replaces_a_worker_that_has_served_enough(server: Server) -> None:
    with (
        serving(server.with_options("--max-requests", "60")) as (child, address),
        opened(address) as wires,
    ):
        before = stats(address)["pid"]
        post(address, "last")
        wait_for(lambda: stats(address)["pid"] != before, "the new worker", every=0.001)
        all_end(wires)
        all_told(child)
        no_complaints(child)


@pytest.mark.parametrize("server", GUNICORNS, ids=str)
def test_a_hub_that_was_made_before_the_fork(server: Server) -> None:
    # A second gevent worker may miss the signal, whatever it serves: gunicorn's own affair.
    workers = "1" if server is GEVENT else "2"
    with (
        serving(server.with_options("--preload", "-w", workers)) as (child, address),
        ExitStack() as stack,
    ):
        wires = [stack.enter_context(Wire(address, headers=SSE)) for _ in range(20)]
        for wire in wires:
            wire.until_body(b"\nid: ")
        # Each worker has a hub of its own, and gets about half of the requests.
        epochs = {bytes(wire.body).partition(b"id: ")[2].partition(b"-")[0] for wire in wires}
        waiting = set(wires)

        def all_have_one() -> bool:
            post(address, "x")
            for wire in list(waiting):
                try:
                    wire.next(timeout=0.01)
                except TimeoutError:
                    continue
                waiting.discard(wire)
            return not waiting

        wait_for(all_have_one, "an event of each worker's", timeout=20)
        assert len(epochs) in (1, 2)
        child.end()
        for wire in wires:
            assert wire.wait_end()
        no_complaints(child)


@pytest.mark.parametrize("server", [SYNC, GTHREAD], ids=str)
def test_a_process_that_the_worker_forks(server: Server) -> None:
    """It ends, or stays and has the connections' descriptors, too: neither is to be seen by the clients."""
    with serving(server) as (child, address), opened(address) as wires:
        ended = post(address, "", "/fork")
        assert post(address, "", f"/reap?child={ended}") == "0"
        stays = int(post(address, "", "/fork?stay=1"))
        try:
            assert modes(address) == {"detached": MANY}
            post(address, "last")
            assert {wire.next().data for wire in wires} == {"last"}
            child.end()
            for wire in wires:
                assert wire.wait_end()
        finally:
            os.kill(stays, signal.SIGKILL)
        all_told(child)


def test_descriptors_run_out() -> None:
    """The stream is served all the same; when there are some again, the next is taken."""
    with ExitStack() as stack:
        child, address = stack.enter_context(serving(GTHREAD))
        # The engine's own descriptors come with the first stream.
        with detached(address, 1):
            one = stats(address)["descriptors"]
        wires = stack.enter_context(opened(address))
        wait_for(
            lambda: stats(address)["descriptors"] < one + MANY, "what the server has to close yet"
        )
        # So few that the server can still accept: it would end where it cannot.
        post(address, "", "/descriptors?free=2")
        more: list[Wire] = []
        while "refused for 'descriptors'" not in child.output():
            assert len(more) < 10
            more.append(stack.enter_context(Wire(address, headers=SSE)))
            more[-1].until_body(b"\nid: ")
        post(address, "", "/descriptors")
        assert refusals(address) == {"descriptors": 1}
        assert modes(address) == {"detached": MANY + len(more) - 1, "in-loop": 1}
        post(address, "x")
        assert {wire.next().data for wire in (*more, *wires)} == {"x"}
        before = stats(address)["descriptors"]
        for wire in more:
            wire.close()
        wait_for(lambda: modes(address) == {"detached": MANY}, "the end")
        wait_for(lambda: stats(address)["descriptors"] < before, "the descriptors")
        with Wire(address, headers=SSE):
            wait_for(lambda: modes(address) == {"detached": MANY + 1}, "the hand-off")
        assert "raise the limit" in child.output()
        no_complaints(child)


@pytest.mark.parametrize("server", [WAITRESS, own("waitress-poll")], ids=["select", "poll"])
def test_waitress_has_more_streams_than_select_has_descriptors(server: Server) -> None:
    """The engine's descriptors lie above those that select() can use."""
    with serving(server) as (_, address), detached(address, 1200) as wires:
        post(address, "x")
        assert {wire.next().data for wire in wires} == {"x"}
        assert refusals(address) == {}
