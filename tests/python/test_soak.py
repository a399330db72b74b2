"""Long and large: run by `make test-slow`. The numbers are printed (`-s`)."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from handoff_servers import modes
from http_stream import Address, Wire, post, stats
from processes import Child, free_port, running, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]
APPS = str(Path(__file__).parent / "apps")
MARK = b"\ndata: "
REQUEST = b"GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


def serve(**env: str) -> Iterator[tuple[Child, Address]]:
    port = free_port()
    command = ["uvicorn", "asgi_app:app", "--app-dir", APPS, "--port", str(port)]
    command += ["--log-level", "warning", "--backlog", "4096"]
    with running(command, url=f"http://127.0.0.1:{port}/", env=env) as child:
        yield child, ("127.0.0.1", port)


@pytest.fixture
def server() -> Iterator[tuple[Child, Address]]:
    yield from serve()


@pytest.fixture
def big_server() -> Iterator[tuple[Child, Address]]:
    yield from serve(MAX_LAG=str(16 << 20), HISTORY_BYTES=str(4 << 20))


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid: int) -> float:
    """Resident memory in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def abort(address: Address, wait: bool) -> None:
    """Connects, and goes without a word; at times before the head has come."""
    with socket.create_connection(address) as sock:  # type: ignore[arg-type]
        sock.sendall(REQUEST)
        if wait:
            sock.recv(1024)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_ten_thousand_clients_come_and_go(server: tuple[Child, Address]) -> None:
    child, address = server
    pid = child.process.pid
    for n in range(500):
        abort(address, n % 2 == 0)
    wait_for(lambda: stats(address)["connections"] == 0, "the end of the first")
    before = (descriptors(pid), memory(pid))
    begin = time.monotonic()
    for n in range(10_000):
        abort(address, n % 2 == 0)
        if n % 100 == 0:
            post(address, str(n))
    took = time.monotonic() - begin
    wait_for(lambda: stats(address)["connections"] == 0, "the end of all")
    found = stats(address)
    after = (descriptors(pid), memory(pid))
    print(
        f"\n10,000 connect-and-abort cycles in {took:.1f} s; opened {found['opened']}, "
        f"closed {found['closed']}; descriptors {before[0]} -> {after[0]}; "
        f"memory {before[1]:.1f} -> {after[1]:.1f} MiB"
    )
    assert found["opened"] == sum(found["closed"].values())
    assert found["closed"]["error"] == 0
    # Half of them have read something, so theirs were the engine's, if nothing went wrong before that.
    assert found["modes"]["detached"] > 2_500, found["modes"]
    assert found["handoffs_refused"] == {}
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + 8
    assert "Traceback" not in child.output(), child.output()


class Reader:
    """A client that counts instead of parsing: a thousand of them share one thread."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.end = b""
        self.events = 0

    def read(self) -> bool:
        """Takes what there is. False at the end."""
        data = self.sock.recv(1 << 18)
        if not data:
            return False
        # One byte less than what is looked for: nothing is counted twice.
        self.events += (self.end[-len(MARK) + 1 :] + data).count(MARK)
        self.end = (self.end + data)[-4096:]
        return True

    def last(self) -> int:
        """The number of the last event."""
        return int(self.end.rpartition(MARK)[2].split(b" ", 1)[0])


def read_all(readers: list[Reader], count: int, deadline: float) -> None:
    import selectors

    selector = selectors.DefaultSelector()
    for reader in readers:
        reader.sock.setblocking(False)
        selector.register(reader.sock, selectors.EVENT_READ, reader)
    missing = len(readers)
    while missing and time.monotonic() < deadline:
        for key, _ in selector.select(1):
            reader = key.data
            if not reader.read() or reader.events >= count:
                selector.unregister(reader.sock)
                missing -= 1
    selector.close()


def test_one_stalled_client_among_a_thousand(big_server: tuple[Child, Address]) -> None:
    child, address = big_server
    pid = child.process.pid
    count = int(os.environ.get("SSEHUB_EVENTS", "200000"))
    size, clients = 1024, int(os.environ.get("SSEHUB_CLIENTS", "1000"))
    stalled = Wire(address)
    readers = []
    for _ in range(clients - 1):
        sock = socket.create_connection(address)  # type: ignore[arg-type]
        sock.sendall(REQUEST)
        readers.append(Reader(sock))
    wait_for(lambda: modes(address) == {"detached": clients}, "all clients", timeout=60)
    before = memory(pid)
    peak = before
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.2):
            peak = max(peak, memory(pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    begin = time.monotonic()
    post(address, "", f"/load?count={count}&size={size}&clients={clients - 1}")
    try:
        read_all(readers, count, begin + 450)
    finally:
        done.set()
        watcher.join()
    took = time.monotonic() - begin
    found = stats(address)
    # So many events, of which the last is the last: none is missing and none came twice.
    complete = sum(reader.events == count and reader.last() == count - 1 for reader in readers)
    print(
        f"\n{clients} clients, one stalled, {count} events of {size} bytes in {took:.0f} s: "
        f"{complete} of {clients - 1} others got all; memory {before:.0f} -> peak {peak:.0f} MiB; "
        f"closed {found['closed']}, gaps {found['gaps']}",
        file=sys.stderr,
    )
    assert complete == clients - 1
    assert found["closed"]["slow"] == 1
    assert modes(address) == {"detached": clients - 1}
    # The history and the lag limit, 20 MB, and what allocators make of them, whatever is published, and to how many.
    assert peak < before + 96
    stalled.close()
    for reader in readers:
        reader.sock.close()
    assert "Traceback" not in child.output(), child.output()
