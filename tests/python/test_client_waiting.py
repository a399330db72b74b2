"""Where `EventSource` waits: threads, loops, trio, gevent; signals; and what is left of it afterwards."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

from processes import ROOT, wait_for
from scripted import Script, answer, scripted, stream
from ssehub import ClosedError, Event, EventSource, StatusError
from support import SOON, eventually

TWO = "id: 1\ndata: one\n\nid: 2\ndata: two\n\n"


@pytest.fixture
def live() -> Iterator[Script]:
    with scripted(stream(TWO, end=False)) as script:
        yield script


@pytest.fixture
def once() -> Iterator[Script]:
    with scripted(stream(TWO)) as script:
        yield script


def threads_of_the_client() -> int:
    """How many there are in this process."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        # One may end meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError):
            names.append(task.joinpath("comm").read_text())
    return sum(name.startswith("ssehub-client") for name in names)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# Threads.


def interrupted(kind: int) -> None:
    threading.Timer(0.1, os.kill, (os.getpid(), kind)).start()


def test_ctrl_c_gets_through_at_once(live: Script) -> None:
    with EventSource(live.url) as source:
        assert [next(source).data, next(source).data] == ["one", "two"]
        begin = time.monotonic()
        interrupted(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            next(source)
        assert time.monotonic() - begin < 1
        # It is not the end of the source.
        source.restart()
        assert source.get(SOON).data == "one"


def test_other_signals_do_not_end_a_wait(live: Script) -> None:
    seen: list[int] = []
    former = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        with EventSource(live.url) as source:
            assert [next(source).data, next(source).data] == ["one", "two"]
            interrupted(signal.SIGUSR1)
            with pytest.raises(TimeoutError):
                source.get(0.4)
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert seen == [signal.SIGUSR1]


def test_a_wait_lets_other_threads_run(live: Script) -> None:
    with EventSource(live.url) as source:
        assert [next(source).data, next(source).data] == ["one", "two"]
        turns = 0

        def work() -> None:
            nonlocal turns
            while turns < 1000:
                turns += 1
            source.close()

        thread = threading.Thread(target=work)
        thread.start()
        assert list(source) == []
        thread.join()
    assert turns == 1000


def test_many_threads(live: Script) -> None:
    got: list[str | None] = []

    def read() -> None:
        with EventSource(live.url) as source:
            got.extend([next(source).data, next(source).data])

    readers = [threading.Thread(target=read) for _ in range(20)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(SOON)
    assert sorted(filter(None, got)) == ["one"] * 20 + ["two"] * 20


def test_under_gevent_other_greenlets_go_on(live: Script) -> None:
    code = f"""
from gevent import monkey
monkey.patch_all()
import gevent, time
from ssehub import EventSource
got = []

def read():
    with EventSource({live.url!r}) as source:
        for event in source:
            got.append(event.data)

readers = [gevent.spawn(read) for _ in range(3)]
deadline = time.monotonic() + 10
turns = 0
while len(got) < 6 and time.monotonic() < deadline:
    gevent.sleep(0.001)
    turns += 1
assert turns, "the readers have blocked the thread"
gevent.killall(readers, timeout=5)
print(sorted(got))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(["one"] * 3 + ["two"] * 3)


def test_a_program_that_forgets_to_close_ends(live: Script) -> None:
    code = f"""
from ssehub import EventSource
source = EventSource({live.url!r})
print(next(source).data)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=10, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\n", "")


# Loops.


async def test_blocking_in_a_loop_is_refused(live: Script) -> None:
    with EventSource(live.url) as source, pytest.raises(RuntimeError, match="async for"):
        next(source)


async def test_two_tasks_cannot_wait_for_one_source(live: Script) -> None:
    async with EventSource(live.url) as source:
        assert [(await anext(source)).data, (await anext(source)).data] == ["one", "two"]
        first = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="another task"):
            await anext(source)
        first.cancel()


def test_one_source_in_one_loop_after_the_other(live: Script) -> None:
    with EventSource(live.url) as source:

        async def one() -> Event:
            return await anext(source)

        assert asyncio.run(one()).data == "one"
        assert asyncio.run(one()).data == "two"
        source.restart()
        assert source.get(SOON).data == "one"
        assert asyncio.run(one()).data == "two"


async def test_a_hundred_sources_in_one_loop(live: Script) -> None:
    async def read() -> list[str | None]:
        async with EventSource(live.url) as source:
            return [(await anext(source)).data, (await anext(source)).data]

    before = descriptors()
    assert await asyncio.gather(*(read() for _ in range(100))) == [["one", "two"]] * 100
    await eventually(lambda: descriptors() <= before)
    await eventually(lambda: threads_of_the_client() == 0)


class NoReaders(asyncio.SelectorEventLoop):
    """As Windows' usual loop, which cannot watch descriptors."""

    def add_reader(self, *_: Any) -> Any:
        raise NotImplementedError


def uvloop() -> asyncio.AbstractEventLoop:
    module = pytest.importorskip("uvloop")
    loop: asyncio.AbstractEventLoop = module.new_event_loop()
    return loop


@pytest.mark.parametrize("make", [asyncio.new_event_loop, NoReaders, uvloop])
def test_loops_of_all_kinds(live: Script, make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def read() -> list[str | None]:
        async with EventSource(live.url) as source:
            got = [(await anext(source)).data, (await anext(source)).data]
            source.restart()
            return [*got, (await anext(source)).data]

    async def twice() -> list[str | None]:
        return [*await read(), *await read()]

    # Some keep descriptors of their own from their first use on.
    make().close()
    before = descriptors()
    loop = make()
    try:
        assert loop.run_until_complete(twice()) == ["one", "two", "one"] * 2
        # What was left to be done when the last source had gone.
        loop.run_until_complete(asyncio.sleep(0.01))
        assert asyncio.all_tasks(loop) == set()
    finally:
        loop.close()
    wait_for(lambda: descriptors() <= before, "descriptors are given back")


def test_a_loop_that_was_closed_under_a_source(live: Script) -> None:
    loop = asyncio.new_event_loop()
    source = EventSource(live.url)
    waiting = loop.create_task(_drain(source))
    loop.run_until_complete(asyncio.sleep(0.2))
    waiting.cancel()
    loop.run_until_complete(asyncio.gather(waiting, return_exceptions=True))
    loop.close()
    del waiting
    source.close()
    assert list(source) == []


async def _drain(source: EventSource) -> list[Event]:
    return [event async for event in source]


def test_a_source_dropped_in_another_thread(live: Script) -> None:
    async def main() -> None:
        sources = [EventSource(live.url)]
        await anext(sources[0])
        before = descriptors()
        await asyncio.to_thread(sources.clear)
        gc.collect()
        await eventually(lambda: descriptors() < before)

    asyncio.run(main())


def test_trio(live: Script) -> None:
    async def main() -> None:
        async with EventSource(live.url) as source:
            assert [(await anext(source)).data, (await anext(source)).data] == ["one", "two"]
            with trio.move_on_after(0.05) as scope:
                await anext(source)
            assert scope.cancelled_caught
            with pytest.raises(RuntimeError, match="async for"):
                next(source)
            source.restart()
            async for event in source:
                assert event.data == "one"
                break
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_close_soon, source)
                assert [event.data async for event in source] == ["two"]

    trio.run(main)


async def _close_soon(source: EventSource) -> None:
    await trio.sleep(0.05)
    source.close()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio(live: Script, backend: str) -> None:
    async def main() -> None:
        async with EventSource(live.url) as source:
            got = []
            async for event in source:
                got.append(event.data)
                if len(got) == 2:
                    break
            assert got == ["one", "two"]
            with anyio.move_on_after(0.05) as scope:
                await anext(source)
            assert scope.cancelled_caught

    anyio.run(main, backend=backend)


# What is left.


def test_nothing_is_left(once: Script) -> None:
    with scripted(answer(404)) as refused:
        for _ in range(3):
            with EventSource(once.url, reconnect=False) as source:
                list(source)
            with EventSource(once.url) as source:
                next(source)
            with pytest.raises(ClosedError):
                source.get(0)
            with pytest.raises(StatusError):
                list(EventSource(refused.url))
    wait_for(lambda: threads_of_the_client() == 0, "the client's thread has ended")


async def test_a_thousand_streams_return_what_they_took() -> None:
    """In a process of its own, so that the numbers are its own."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(ROOT / "tests/python/apps/thousand_streams.py")],
        # One arena: what lies free in another would only blur the picture.
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
