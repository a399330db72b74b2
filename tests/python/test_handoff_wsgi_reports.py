"""How Python hears of the streams that the engine has: each end once, and never before its begin."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from collections import Counter

import pytest

from processes import wait_for
from ssehub import Hub, StreamInfo
from ssehub._ssehub import Selector, Slot
from ssehub.handoff.reports import Handed, Reporter, reporter_of, settle
from support import SOON, threads


class Given:
    """A stream over a socket pair, given to the engine as a server's thread does it."""

    def __init__(self, hub: Hub, on_close: object = None, *, held: bool = False) -> None:
        self.client, self.server = socket.socketpair()
        self.client.settimeout(SOON)
        over = threading.Event() if held else None
        self.handed = Handed("/path", on_close, over)  # type: ignore[arg-type]
        selector = Selector(hub, lambda: None)
        token = selector.add(hub.subscribe("t")._native, retry=1000, connection=True)
        selector.poll(token)
        self.reporter: Reporter = reporter_of(hub)
        self.reporter.hand_off(
            selector,
            token,
            Slot(dummy=not held),
            self.server.fileno(),
            self.handed,
            chunked=False,
            hold=held,
            snapshot=False,
        )

    def close(self) -> None:
        self.client.close()
        self.server.close()


def test_an_end_is_told_after_the_begin() -> None:
    hub = Hub()
    told: list[str] = []
    hub.on_close(lambda info: told.append(f"hub {info.mode} {info.reason}"))
    given = Given(hub, lambda info: told.append(f"own {info.mode} {info.reason}"))
    given.client.close()
    wait_for(lambda: hub.stats().connections == 0, "the end")
    # The engine reports; a second stream shows that it has.
    other = Given(hub)
    other.reporter.begun(other.handed)
    other.close()
    wait_for(lambda: told == ["hub detached client"], "the other's end")
    given.reporter.begun(given.handed)
    assert told == ["hub detached client", "hub detached client", "own detached client"]
    given.close()


def test_each_end_is_told_once() -> None:
    """While threads hand over, clients leave, and the process would like to end."""
    hub = Hub()
    everybody: Counter[str | None] = Counter()
    own: Counter[str] = Counter()
    hub.on_close(lambda info: everybody.update([info.reason]))
    stop = threading.Event()

    def give(name: str) -> None:
        for number in range(100):
            given = Given(hub, lambda _, n=number: own.update([f"{name} {n}"]))
            given.client.close()
            given.reporter.begun(given.handed)
            given.server.close()

    def deliver() -> None:
        while not stop.is_set():
            reporter_of(hub).deliver()

    with threads(deliver):
        with threads(*(lambda n=n: give(str(n)) for n in range(4))):  # type: ignore[misc]
            pass
        settle([hub], SOON)
        stop.set()
    assert everybody == {"client": 400}
    assert len(own) == 400
    assert set(own.values()) == {1}


def test_an_open_stream_keeps_no_object() -> None:
    hub = Hub()
    given = Given(hub)
    given.reporter.begun(given.handed)
    handed = weakref.ref(given)
    client, server = given.client, given.server
    del given
    gc.collect()
    assert handed() is None
    hub.publish("t", "x")
    assert client.recv(1000).endswith(b"data: x\n\n")
    client.close()
    server.close()


def test_a_held_stream_is_ended() -> None:
    hub = Hub()
    told: list[StreamInfo] = []
    given = Given(hub, told.append, held=True)
    given.reporter.begun(given.handed)
    assert hub.stats().connections_by_mode["held"] == 1
    given.reporter.end(given.handed, "client")
    assert given.handed.over is not None
    assert given.handed.over.wait(SOON)
    assert given.handed.clean
    wait_for(lambda: told, "the callback")
    assert (told[0].mode, told[0].reason) == ("held", "client")
    given.close()


def test_what_cannot_be_taken_is_not_kept() -> None:
    hub = Hub()
    selector = Selector(hub, lambda: None)
    token = selector.add(hub.subscribe("t")._native, retry=1000, connection=True)
    reporter = reporter_of(hub)
    handed = Handed("/path", lambda info: None)
    with pytest.raises(OSError, match="Bad file descriptor"):
        reporter.hand_off(
            selector, token, Slot(dummy=True), -1, handed, chunked=False, hold=False, snapshot=False
        )
    assert hub.stats().connections_by_mode["in-loop"] == 1
    assert not reporter._awaited
    assert not reporter._beginning


def test_a_hub_that_begins_anew() -> None:
    hub = Hub()
    first = Given(hub)
    first.reporter.begun(first.handed)
    hub.reset()
    told: list[StreamInfo] = []
    second = Given(hub, told.append)
    second.reporter.begun(second.handed)
    assert second.reporter is not first.reporter
    for given in (first, second):
        given.close()
    wait_for(lambda: told, "the callback")
