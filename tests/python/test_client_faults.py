"""Clients that vanish, stall and babble, at each stage of a stream; nobody else is to notice."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from faults_clients import Crowd, babbling, connect, is_over, read_until, reset
from faults_servers import GUNICORN, HELD, HOSTS, UVICORN, Host, descriptors, pid_of
from handoff_servers import modes, no_complaints, refusals
from http_stream import Address, post, stats
from processes import wait_for

pytestmark = pytest.mark.timeout(120)
Leave = Callable[[socket.socket], None]
each_way = pytest.mark.parametrize("leave", [reset, socket.socket.close], ids=["reset", "close"])
each_host = pytest.mark.parametrize("host", HOSTS, ids=str)


OTHERS = 5


class Scene:
    """A server with some who read, whatever else happens there."""

    def __init__(self, host: Host, address: Address, others: Crowd) -> None:
        self.host = host
        self.address = address
        self._others = others
        self._published = 0

    def publish(self, size: int = 10) -> int:
        """Publishes a number and so many bytes. It returns when the others have it."""
        number = self._published
        self._published += 1
        post(self.address, f"{number}:{'x' * size}")
        self.wait_others(number)
        return number

    def wait_others(self, number: int) -> None:
        wait_for(lambda: self._others.have(number) == OTHERS, f"{number} everywhere")
        assert self._others.wrong == []

    def join(self, query: str = "", *, small: bool = False) -> socket.socket:
        """One more, whom the engine serves already."""
        there = modes(self.address)[self.host.mode]
        sock = connect(self.address, self.host.path(query), small=small)
        wait_for(lambda: modes(self.address).get(self.host.mode) == there + 1, "the stream")
        return sock

    def wait_gone(self) -> None:
        """Only the others are left."""
        wait_for(lambda: stats(self.address)["connections"] == OTHERS, "the end", timeout=45)
        assert modes(self.address) == {self.host.mode: OTHERS}

    def wait_ends(self, reasons: list[str]) -> None:
        """Only the others are left, and of the rest the callbacks have been told why they ended."""
        self.wait_gone()
        wait_for(lambda: self.ends() == reasons, f"the ends: {reasons}")

    def ends(self) -> list[str]:
        """Why streams have ended since."""
        return [reason for _, reason in self.host.ends(self.address)[1:]]


@contextmanager
def unharmed(host: Host) -> Iterator[Scene]:
    """The others get each event whatever happens in the block, and in the end nothing is left of anybody."""
    with host.serving() as (child, address):
        # The engine's own descriptors come with the first stream.
        with host.reading(address, 1):
            pass
        wait_for(lambda: modes(address) == {}, "the end of the first stream")
        before = descriptors(pid_of(address))
        with Crowd([connect(address, host.path()) for _ in range(OTHERS)]) as others:
            wait_for(lambda: modes(address) == {host.mode: OTHERS}, "the others")
            scene = Scene(host, address, others)
            scene.publish()
            yield scene
            scene.wait_gone()
            scene.publish()
        wait_for(lambda: modes(address) == {}, "the end of all streams")
        found = stats(address)
        assert sum(found["closed"].values()) == found["opened"]
        wait_for(lambda: len(host.ends(address)) == found["opened"], "the callbacks")
        wait_for(lambda: descriptors(pid_of(address)) <= before, "descriptors")
        no_complaints(child)


@each_host
@pytest.mark.parametrize("part", [b"", b"GET /ev", b"GET /events HTTP/1.1\r\nHost: x\r\n"], ids=len)
def test_no_whole_request(host: Host, part: bytes) -> None:
    with unharmed(host) as scene:
        for n in range(20):
            sock = socket.create_connection(scene.address)  # type: ignore[arg-type]
            sock.sendall(part)
            reset(sock) if n % 2 else sock.close()
        scene.publish()
        assert scene.ends() == []


@each_host
@each_way
def test_vanishes_before_the_head(host: Host, leave: Leave) -> None:
    """It has asked, and is gone before it is answered: at times before it is accepted, at times in the middle."""
    with unharmed(host) as scene:
        for n in range(60):
            sock = connect(scene.address, host.path())
            time.sleep(0.0005 * (n % 12))
            leave(sock)
        scene.publish()
        scene.wait_gone()
        assert set(scene.ends()) <= {"client"}


@each_host
@each_way
def test_vanishes_around_the_hand_off(host: Host, leave: Leave) -> None:
    """The moment that it has the head, or the opening block: the socket is on its way to the engine."""
    with unharmed(host) as scene:
        for n in range(60):
            sock = connect(scene.address, host.path())
            read_until(sock, b"\r\n\r\n" if n % 2 else b"\nid: ")
            time.sleep(0.0003 * (n % 7))
            leave(sock)
        scene.wait_ends(["client"] * 60)
        assert refusals(scene.address).keys() <= {"error"}


@pytest.mark.parametrize("host", [UVICORN, HELD], ids=str)
@each_way
def test_vanishes_while_its_snapshot_goes_out(host: Host, leave: Leave) -> None:
    """What was written is not on the wire yet, so the hand-off waits; and then there is nobody."""
    with unharmed(host) as scene:
        path = host.path("snapshot=8000000")
        socks = [connect(scene.address, path, small=True) for _ in range(5)]
        for sock in socks:
            read_until(sock, b"event: snapshot")
        assert modes(scene.address) == {host.mode: OTHERS, "in-loop": 5}
        for sock in socks:
            leave(sock)
        scene.wait_ends(["client"] * 5)


@each_host
def test_vanishes_between_a_gap_and_its_snapshot(host: Host) -> None:
    """It knows that it has lost something, and not what there is instead: it must be told when it comes back."""
    with host.serving() as (_, address):
        # Of an earlier life of the hub.
        id = f"{'0' * 16}-1"
        with connect(address, host.path("snapshot"), last_event_id=id) as sock:
            came = read_until(sock, b'"reason":"unknown"}\n\n', most=1)
        found = re.search(rb"\nid: (\S+)\n", came)
        id = id if found is None else found[1].decode()
        with connect(address, host.path("snapshot"), last_event_id=id) as sock:
            came = read_until(sock, b"\nid: ")
            post(address, "the next")
            assert b"event: snapshot\n" in came + read_until(sock, b"data: the next\n")


@each_host
@each_way
def test_vanishes_in_the_middle_of_an_event(host: Host, leave: Leave) -> None:
    with unharmed(host) as scene:
        for n in range(3):
            sock = scene.join(small=True)
            for _ in range(3):
                scene.publish(250_000)
            read_until(sock, b":xxx")
            leave(sock)
            scene.wait_ends(["client"] * (n + 1))


@each_host
def test_stalls(host: Host) -> None:
    """It never reads. Over its limit it is cut, in the middle of a frame, while the others get everything."""
    with unharmed(host) as scene, ExitStack() as stack:
        socks = [stack.enter_context(scene.join(small=True)) for _ in range(3)]
        for _ in range(60):
            scene.publish(100_000)
        scene.wait_ends(["slow"] * 3)
        for sock in socks:
            assert not read_until(sock, b"\r\n0\r\n\r\n").endswith(b"\r\n0\r\n\r\n")


@each_host
def test_half_closes(host: Host) -> None:
    """One who has nothing more to say is gone, and hears the end."""
    with unharmed(host) as scene, scene.join() as sock:
        sock.shutdown(socket.SHUT_WR)
        assert is_over(sock)
        scene.wait_ends(["client"])


@each_host
def test_babbles(host: Host) -> None:
    """What it sends for ever is read only so far; a server that keeps the connection deals with it itself."""
    with unharmed(host) as scene, scene.join() as sock:
        with babbling(sock) as sent:
            assert is_over(sock)
            scene.wait_ends(["client" if host is HELD else "error"])
        assert sent[0] < 20_000_000


@pytest.mark.parametrize("host", [UVICORN, GUNICORN], ids=str)
def test_says_a_little(host: Host) -> None:
    """Some junk is no reason to end a stream. A server that keeps the connection would take it for a request."""
    with unharmed(host) as scene, scene.join() as sock:
        for _ in range(20):
            sock.sendall(b"\x00junk\r\n" * 100)
            number = scene.publish()
            assert read_until(sock, f"data: {number}:".encode())
        assert scene.ends() == []


@each_host
def test_drips(host: Host) -> None:
    """Slow is not stalled: it takes a little at a time, and gets everything in order."""
    with unharmed(host) as scene, scene.join(small=True) as sock:
        numbers = [scene.publish(2000) for _ in range(200)]
        came = b""
        while f"data: {numbers[-1]}:".encode() not in came:
            came += sock.recv(200)
            time.sleep(0.0005)
        found = [int(part.partition(b":")[0]) for part in came.split(b"\ndata: ")[1:]]
        assert found == numbers
        assert scene.ends() == []
