"""Clients by the thousand that go without a word, or never read. The numbers are printed (`-s`)."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from faults_clients import Crowd, connect, read_until, reset
from faults_servers import GUNICORN, HOSTS, UVICORN, Host, descriptors, memory, pid_of
from handoff_servers import modes, no_complaints, refusals
from http_stream import Address, post, stats
from processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]


def kernel_memory() -> float:
    """What the system has for all TCP sockets, in MiB."""
    found = re.search(r"TCP: .* mem (\d+)", Path("/proc/net/sockstat").read_text())
    assert found is not None
    return int(found[1]) * 4096 / 2**20


def come_and_go(host: Host, address: Address, times: int) -> None:
    for n in range(times):
        sock = connect(address, host.path())
        if n % 2:
            read_until(sock, b"\nid: ")
        reset(sock)
        if n % 100 == 0:
            post(address, str(n))
    wait_for(lambda: modes(address) == {}, "the end of all", timeout=60, every=0.5)


@pytest.mark.parametrize("host", HOSTS, ids=str)
def test_ten_thousand_come_and_go(host: Host) -> None:
    with host.serving() as (child, address):
        pid = pid_of(address)
        come_and_go(host, address, 1000)
        before = descriptors(pid), memory(pid)
        begin = time.monotonic()
        come_and_go(host, address, 10_000)
        took = time.monotonic() - begin
        found = stats(address)
        closed = {reason: n for reason, n in found["closed"].items() if n}
        after = descriptors(pid), memory(pid)
        print(
            f"\n{host}: 10,000 connect-and-abort cycles in {took:.1f} s; opened {found['opened']}, "
            f"closed {closed}, refused {refusals(address)}; descriptors {before[0]} -> {after[0]}; "
            f"memory {before[1]:.1f} -> {after[1]:.1f} MiB"
        )
        # One that is gone before its request is read has no stream.
        assert 5500 <= found["opened"] == sum(closed.values()) <= 11_000
        assert closed == {"client": found["opened"]}
        assert len(host.ends(address)) == found["opened"]
        assert refusals(address).keys() <= {"error"}
        assert after[0] <= before[0]
        # The test's own list of ends is in it.
        assert after[1] <= before[1] + 12
        no_complaints(child)


@pytest.mark.parametrize("host", [UVICORN, GUNICORN], ids=str)
def test_five_hundred_of_two_thousand_stall(host: Host) -> None:
    """They are cut when they are too far behind. Until then they cost the server next to nothing, and nobody else."""
    size, count, stalled, reading = 3000, 500, 500, 1500
    with host.serving() as (child, address), ExitStack() as stack:
        pid = pid_of(address)
        with host.reading(address, 1):
            pass
        empty = memory(pid), kernel_memory()
        socks = [
            stack.enter_context(connect(address, host.path(), small=True)) for _ in range(stalled)
        ]
        crowd = Crowd([connect(address, host.path()) for _ in range(reading)])
        wait_for(lambda: modes(address) == {host.mode: 2000}, "all clients", timeout=60)
        idle = memory(pid), kernel_memory()

        def publish(numbers: range) -> None:
            for n in numbers:
                post(address, f"{n}:{'x' * size}")
                # Never further ahead of those who read than the system's buffers go.
                if n % 20 == 19:
                    wait_for(lambda n=n: crowd.have(n) == reading, "the others", timeout=60)  # type: ignore[misc]

        with crowd:
            begin = time.monotonic()
            publish(range(count // 2))
            full = memory(pid), kernel_memory()
            blocked = stats(address)["connections"]
            publish(range(count // 2, count))
            took = time.monotonic() - begin
            wait_for(lambda: stats(address)["connections"] == reading, "the cuts", timeout=30)
            closed = stats(address)["closed"]
            assert crowd.wrong == []
        gc.collect()
        wait_for(lambda: modes(address) == {}, "the end of all", timeout=60)
        left = memory(pid), kernel_memory()
        tell = printer("user space", "kernel, both ends")
        print(f"\n{host}: {stalled} of {stalled + reading} stall, {count} events of {size} bytes")
        print(f"  all events with the {reading} that read after {took:.1f} s")
        tell("without clients", *empty)
        tell("all there, idle", *idle)
        tell(f"{blocked - reading} blocked", *full)
        tell("all gone", *left)
        assert blocked == stalled + reading
        assert closed["slow"] == stalled + 0
        assert full[0] <= idle[0] + 24
        for sock in socks:
            sock.close()
        no_complaints(child)


def printer(*names: str) -> Callable[..., None]:
    def tell(what: str, *sizes: float) -> None:
        columns = ", ".join(
            f"{name} {size:.1f} MiB" for name, size in zip(names, sizes, strict=True)
        )
        print(f"  {what:16} {columns}")

    return tell
