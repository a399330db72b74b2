"""`Subscription`: reading in code, by threads and by coroutines."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

import pytest

from ssehub import ClosedError, Hub, LaggedError, SSEHubError, Subscription
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
