"""Publishing and reading from many threads, tasks and loops."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ssehub import History, Hub, Subscription
from support import SOON, ataken, eventually, published, take, threads


def test_many_threads_publish_and_every_reader_sees_one_order() -> None:
    hub = Hub(max_lag=1 << 30, history=History(count=1 << 20, bytes=1 << 26))
    topics = [f"t{n}" for n in range(4)]
    readers = [hub.subscribe(*topics), hub.subscribe(*topics[:2]), hub.subscribe("t0")]
    results: list[list[str]] = [[] for _ in readers]
    each = 1500

    def publish(number: int) -> None:
        for n in range(each):
            topic = topics[(n + number) % 4]
            hub.publish(topic, f"{number} {n} {topic}", event="last" if n == each - 1 else None)

    def read(reader: Subscription, into: list[str], wanted: set[str]) -> None:
        expected = sum(topics[(n + m) % 4] in wanted for m in range(4) for n in range(each))
        ids = []
        while len(into) < expected:
            event = reader.get(timeout=SOON)
            into.append(event.data or "")
            ids.append(int((event.id or "").split("-")[1]))
        assert ids == sorted(set(ids))

    wants = [set(topics), set(topics[:2]), {"t0"}]
    with threads(
        *(lambda n=n: publish(n) for n in range(4)),  # type: ignore[misc]
        *(
            lambda r=r, i=i, w=w: read(r, i, w)  # type: ignore[misc]
            for r, i, w in zip(readers, results, wants, strict=True)
        ),
    ):
        pass
    for number in range(4):
        mine = [line for line in results[0] if line.startswith(f"{number} ")]
        assert [int(line.split()[1]) for line in mine] == list(range(each))
    for result, wanted in zip(results[1:], wants[1:], strict=True):
        assert result == [line for line in results[0] if line.split()[2] in wanted]


def test_readers_that_join_under_fire_miss_nothing() -> None:
    hub = Hub(max_lag=1 << 30, history=History(count=1 << 20, bytes=1 << 26))
    stop = threading.Event()

    def publish() -> None:
        n = 0
        while not stop.is_set():
            hub.publish("t", str(n))
            n += 1
            if n % 50 == 0:
                time.sleep(0.0005)

    def join() -> None:
        for _ in range(100):
            reader = hub.subscribe("t")
            before = int(reader.last_event_id.split("-")[1])
            numbers = [int(data or "") for data in take(reader, 20)]
            # Event number n has the id n + 1.
            assert numbers == list(range(before, before + 20))
            resumed = hub.subscribe("t", last_event_id=reader.last_event_id)
            assert [int(data or "") for data in take(resumed, 5)] == list(
                range(before + 20, before + 25)
            )
            reader.close()

    def join_all() -> None:
        try:
            join()
        finally:
            joined.release()

    joined = threading.Semaphore(0)
    with threads(publish, join_all, join_all):
        for _ in range(2):
            assert joined.acquire(timeout=SOON * 2)
        stop.set()


async def test_publish_from_everywhere() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    loop = asyncio.get_running_loop()
    hub.publish("t", "coroutine")
    await asyncio.create_task(hub.publish_async("t", "task"))
    await loop.run_in_executor(None, hub.publish, "t", "executor")
    loop.call_soon(hub.publish, "t", "callback")
    assert await ataken(reader, 4) == ["coroutine", "task", "executor", "callback"]
    with threads(lambda: hub.publish("t", "thread")):
        assert await ataken(reader, 1) == ["thread"]


def test_one_hub_serves_loops_one_after_another() -> None:
    hub = Hub()

    async def session(n: int) -> list[str | None]:
        reader = hub.subscribe("t")
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, hub.publish, "t", str(n))
        return await ataken(reader, 1)

    for n in range(5):
        assert asyncio.run(session(n)) == [str(n)]
    gc.collect()
    assert hub.stats().subscriptions == 0
    # Loops that are gone are forgotten.
    assert len(hub._hosts) <= 1


def test_a_loop_that_ends_with_open_readers_leaves_nothing() -> None:
    hub = Hub()
    readers = []

    async def session() -> None:
        reader = hub.subscribe("t")
        readers.append(reader)
        hub.publish("t", "x")
        await ataken(reader, 1)

    asyncio.run(session())
    # Publishing to a closed loop is no error.
    hub.publish("t", "y")
    with pytest.raises(RuntimeError, match="loop"):
        asyncio.run(anext(readers[0]))  # type: ignore[arg-type]
    readers.clear()
    gc.collect()
    assert hub.stats().subscriptions == 0


def test_one_hub_serves_loops_at_once() -> None:
    hub = Hub()
    results: list[list[str | None]] = []

    async def session() -> None:
        reader = hub.subscribe("t")
        ready.release()
        results.append(await ataken(reader, 100))

    ready = threading.Semaphore(0)
    with threads(*[lambda: asyncio.run(session())] * 3):
        for _ in range(3):
            assert ready.acquire(timeout=SOON)
        published(hub, 100)
    assert results == [[str(n) for n in range(100)]] * 3


async def test_one_wake_up_per_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    readers = [hub.subscribe("t") for _ in range(50)]
    first = [asyncio.ensure_future(anext(reader)) for reader in readers]
    await eventually(lambda: hub.subscribers("t") == 50)
    loop = asyncio.get_running_loop()
    calls: list[str] = []
    soon, threadsafe = loop.call_soon, loop.call_soon_threadsafe

    def count(name: str, function, callback, args, kwargs):  # type: ignore[no-untyped-def]
        if getattr(callback, "__name__", "") == "_pump":
            calls.append(name)
        return function(callback, *args, **kwargs)

    monkeypatch.setattr(loop, "call_soon", lambda f, *a, **k: count("soon", soon, f, a, k))
    monkeypatch.setattr(
        loop, "call_soon_threadsafe", lambda f, *a, **k: count("threadsafe", threadsafe, f, a, k)
    )
    published(hub, 100)
    events = await asyncio.wait_for(asyncio.gather(*first), SOON)
    assert [event.data for event in events] == ["0"] * 50
    assert calls == ["soon"]
    calls.clear()
    rest = [asyncio.ensure_future(ataken(reader, 100)) for reader in readers]
    await asyncio.sleep(0.05)
    # In the loop's way: a thread's burst is one wake-up, too.
    with threads(lambda: published(hub, 100, first=100)):
        time.sleep(0.2)  # noqa: ASYNC251
    await asyncio.wait_for(asyncio.gather(*rest), SOON)
    assert calls == ["threadsafe"]


@pytest.mark.parametrize("how", ["for", "get"])
def test_ctrl_c_interrupts_a_blocking_read(how: str) -> None:
    code = f"""
import ssehub
hub = ssehub.Hub()
reader = hub.subscribe("t")
hub.publish("t", "ready")
try:
    if {how!r} == "for":
        for event in reader:
            print(event.data, flush=True)
    else:
        print(reader.get().data, flush=True)
        reader.get()
except KeyboardInterrupt:
    print("interrupted", hub.stats().subscriptions, flush=True)
    hub.publish("t", "more")
    print(reader.get(timeout=5).data)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.1)
            os.kill(process.pid, signal.SIGINT)
            output, _ = process.communicate(timeout=SOON)
        finally:
            process.kill()
    assert output.split("\n")[0] == "interrupted 1"
    assert output.split("\n")[1] == "more"
    assert process.returncode == 0


def test_no_thread_or_descriptor_is_left() -> None:
    """In a process of its own: what other tests have left may end meanwhile."""
    code = """
import concurrent.futures, gc, os, threading
from ssehub import Hub

def held():
    return len(os.listdir("/proc/self/fd")), threading.active_count()

def session():
    hub = Hub()
    reader = hub.subscribe("t")
    hub.publish("t", "x")
    assert reader.get(timeout=10).data == "x"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(hub.publish, "t", "y").result(10)
    assert reader.get(timeout=10).data == "y"

session()
before = held()
for _ in range(20):
    session()
gc.collect()
assert held() == before, (held(), before)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=SOON)


async def test_in_a_loop_that_debugs() -> None:
    asyncio.get_running_loop().set_debug(True)
    hub = Hub()
    reader = hub.subscribe("t")
    with threads(lambda: published(hub, 20)):
        assert await ataken(reader, 20) == [str(n) for n in range(20)]
    hub.publish("t", "own thread")
    assert await ataken(reader, 1) == ["own thread"]


def test_under_gevent_other_greenlets_go_on() -> None:
    code = """
from gevent import monkey
monkey.patch_all()
import gevent
import ssehub
hub = ssehub.Hub()
got = []

def read():
    for event in hub.subscribe("t"):
        got.append(event.data)

readers = [gevent.spawn(read) for _ in range(3)]
gevent.sleep(0.01)
for n in range(3):
    hub.publish("t", str(n))
    gevent.sleep(0.01)
# A real thread may publish, too.
gevent.get_hub().threadpool.apply(hub.publish, ("t", "thread"))
gevent.sleep(0.05)
hub.close()
gevent.joinall(readers, timeout=5)
assert all(reader.dead for reader in readers)
print(sorted(got))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(sorted(["0", "1", "2", "thread"] * 3))
