"""`Subscription`: reading in code, by threads and by coroutines."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest

from ssehub import ClosedError, History, Hub, LaggedError, SSEHubError, Subscription
from support import SOON, ataken, drained, eventually, published, take, threads


async def test_async_iteration() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    published(hub, 3)
    got = []
    async for event in reader:
        got.append(event.data)
        if len(got) == 3:
            break
    assert got == ["0", "1", "2"]
    # A broken-off iteration can go on.
    published(hub, 1, first=3)
    assert await ataken(reader, 1) == ["3"]
    assert reader.last_event_id == hub.last_event_id


async def test_iteration_ends_when_the_hub_is_closed() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    waiting = asyncio.create_task(anext(reader))
    await eventually(lambda: hub.subscribers("t") == 1)
    hub.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, SOON)
    assert [event async for event in reader] == []
    assert hub.stats().subscriptions == 0


async def test_a_slow_coroutine_is_told() -> None:
    hub = Hub(max_lag=300_000)
    reader = hub.subscribe("t")
    hub.publish("t", "first")
    assert await ataken(reader, 1) == ["first"]
    for _ in range(40):
        hub.publish("t", "x" * 10_000)
    with pytest.raises(LaggedError):
        await asyncio.wait_for(anext(reader), SOON)
    assert isinstance(LaggedError(), SSEHubError)
    assert hub.stats().subscriptions == 0


def test_get_times_out_and_loses_nothing() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    for timeout in (0, 0.02):
        with pytest.raises(TimeoutError, match=str(timeout)):
            reader.get(timeout=timeout)
    published(hub, 2)
    assert take(reader, 2) == ["0", "1"]
    with pytest.raises(TimeoutError):
        reader.get(timeout=0)
    published(hub, 1, first=2)
    assert take(reader, 1) == ["2"]


def test_get_waits_for_another_thread() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    assert drained(reader) == []
    begun = threading.Event()

    def publish() -> None:
        begun.wait(SOON)
        time.sleep(0.05)
        hub.publish("t", "x")

    with threads(publish):
        begun.set()
        assert reader.get().data == "x"


def test_sync_iteration_ends_when_the_hub_is_closed() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    published(hub, 3)
    got: list[str | None] = []

    def read() -> None:
        got.extend(event.data for event in reader)

    with threads(read):
        while len(got) < 0 or hub.stats().delivered < 3:
            time.sleep(0.005)
        hub.close()
    assert got == ["0", "1", "2"]


async def test_blocking_reads_raise_in_a_running_loop() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    hub.publish("t", "x")
    with pytest.raises(RuntimeError, match="async for"):
        reader.get(timeout=1)
    with pytest.raises(RuntimeError, match="async for"):
        next(iter(reader))
    assert hub.stats().subscriptions == 0
    # Nothing is lost by the mistake, and a worker thread may.
    assert (await asyncio.to_thread(reader.get, 5)).data == "x"


async def test_one_reader_is_read_one_way() -> None:
    hub = Hub()
    one, other = hub.subscribe("t"), hub.subscribe("t")
    hub.publish("t", "x")
    await ataken(one, 1)
    with pytest.raises(RuntimeError, match="async for"):
        await asyncio.to_thread(one.get, 1)
    await asyncio.to_thread(other.get, 5)
    with pytest.raises(RuntimeError, match="with `for`"):
        await anext(other)


async def test_wait_for_loses_nothing() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    for _ in range(3):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(reader), 0.01)
    published(hub, 2)
    assert await ataken(reader, 2) == ["0", "1"]


async def test_a_cancelled_read_loses_nothing() -> None:
    """Publishing and cancelling in the same turn of the loop, in both orders, many times."""
    hub = Hub()
    reader = hub.subscribe("t")
    got: list[str | None] = []
    for n in range(300):
        task = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        if n % 3 == 0:
            task.cancel()
        hub.publish("t", str(n))
        if n % 3 == 1:
            task.cancel()
        if n % 3 == 2:
            # The wake-up has run and the result is set; the task has not taken it.
            asyncio.get_running_loop().call_soon(task.cancel)
        try:
            got.append((await task).data)
        except asyncio.CancelledError:
            got.append((await asyncio.wait_for(anext(reader), SOON)).data)
    assert got == [str(n) for n in range(300)]


async def test_wait_for_races_with_publishing_from_a_thread() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    got: list[str | None] = []

    def publish() -> None:
        for n in range(400):
            hub.publish("t", str(n))
            time.sleep(0.0005)

    with threads(publish):
        while len(got) < 400:
            try:
                got.append((await asyncio.wait_for(anext(reader), 0.0005)).data)
            except asyncio.TimeoutError:
                assert len(got) <= hub.stats().published
    assert got == [str(n) for n in range(400)]


async def test_two_reads_at_once_of_one_subscription() -> None:
    """Not sensible, but nothing may hang or get lost."""
    hub = Hub()
    reader = hub.subscribe("t")
    one, two = asyncio.ensure_future(anext(reader)), asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    published(hub, 2)
    done, pending = await asyncio.wait([one, two], timeout=SOON)
    results = [task.result().data for task in done if task.exception() is None]
    errors = [task.exception() for task in done if task.exception() is not None]
    assert not pending
    assert all(isinstance(error, RuntimeError) for error in errors)
    rest = [] if len(results) == 2 else await ataken(reader, 2 - len(results))
    assert sorted([*results, *rest]) == ["0", "1"]


async def test_close_ends_a_waiting_read() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    task = asyncio.ensure_future(anext(reader))
    await eventually(lambda: hub.subscribers("t") == 1)
    reader.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(task, SOON)


def test_close_from_another_thread_ends_a_blocking_read() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    outcome: list[object] = []

    def read() -> None:
        outcome.extend(reader)
        outcome.append("end")

    with threads(read):
        while hub.subscribers("t") == 0:
            time.sleep(0.005)
        reader.close()
    assert outcome == ["end"]
    assert hub.stats().subscriptions == 0


@pytest.mark.parametrize("how", ["drop", "close", "with"])
def test_what_is_not_read_any_more_is_freed(how: str) -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    hub.publish("t", "x")
    assert take(reader, 1) == ["x"]
    assert (hub.subscribers("t"), hub.stats().subscriptions) == (1, 1)
    if how == "drop":
        del reader
        gc.collect()
    elif how == "close":
        reader.close()
        reader.close()
    else:
        with reader:
            pass
    assert (hub.subscribers("t"), hub.stats().subscriptions) == (0, 0)


async def test_what_is_not_awaited_any_more_is_freed() -> None:
    hub = Hub()
    dropped, left = hub.subscribe("t"), hub.subscribe("t")
    hub.publish("t", "x")
    await ataken(dropped, 1)
    async with left:
        await ataken(left, 1)
        assert hub.subscribers("t") == 2
    assert hub.subscribers("t") == 1
    gone = weakref.ref(dropped)
    del dropped
    gc.collect()
    assert gone() is None
    assert (hub.subscribers("t"), hub.stats().subscriptions) == (0, 0)


def test_a_closed_subscription_is_over() -> None:
    reader = Hub().subscribe("t")
    reader.close()
    with pytest.raises(ClosedError):
        reader.get(timeout=0)


def test_what_is_known_of_it() -> None:
    hub = Hub()
    reader = hub.subscribe("a", "b")
    assert isinstance(reader, Subscription)
    assert (reader.hub, reader.topics) == (hub, ("a", "b"))
    assert reader.last_event_id == hub.last_event_id
    assert repr(reader) == f"<Subscription a, b after {hub.last_event_id}>"


# Threads, tasks, loops.


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
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def session() -> None:
        hub = Hub()
        reader = hub.subscribe("t")
        hub.publish("t", "x")
        take(reader, 1)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(hub.publish, "t", "y").result(SOON)
        take(reader, 1)

    session()
    before = (descriptors(), threading.active_count())
    for _ in range(20):
        session()
    gc.collect()
    assert (descriptors(), threading.active_count()) == before


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
