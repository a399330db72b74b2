"""Everything at once, for a moment: what free-threaded builds and busy servers do. No assertion about time."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from asgi_call import Call
from ssehub import ClosedError, Event, History, Hub, LaggedError, Limits, Parser, pattern
from ssehub.starlette import EventSourceResponse
from support import SOON, eventually, threads

DURATION = 1.0


@pytest.fixture(autouse=True)
def switch_often() -> Iterator[None]:
    """Threads give way after every few instructions: more orders of events in less time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def until(end: float, step: Callable[[random.Random], object]) -> Callable[[], None]:
    """Repeats a step, each thread with random numbers of its own."""

    def run() -> None:
        chance = random.Random(threading.get_ident())
        while time.monotonic() < end:
            step(chance)

    return run


def test_everything_at_once_on_one_hub() -> None:
    hub = Hub(history=History(count=50, age=0.05), limits=Limits(connections_per_key=2))
    end = time.monotonic() + DURATION

    def publish(chance: random.Random) -> None:
        topics = [f"t.{chance.randrange(20)}" for _ in range(chance.randrange(1, 3))]
        hub.publish(topics, {"n": 1}, key=chance.choice([None, "k"]))

    def read(chance: random.Random) -> None:
        names = [f"t.{chance.randrange(20)}", pattern("t.*")][: chance.randrange(1, 3)]
        reader = hub.subscribe(
            *names,
            last_event_id=chance.choice([None, "earliest", hub.last_event_id]),
            slow=chance.choice(["disconnect", "skip", "conflate"]),
        )
        seen: list[int] = []
        for _ in range(20):
            try:
                event = reader.get(timeout=0.001)
            except (TimeoutError, LaggedError):
                break
            seen.append(int((event.id or "").split("-")[1]))
        # Never backwards, and an event once; a gap's id may be that of the event before.
        assert seen == sorted(seen)

    def look(chance: random.Random) -> None:
        hub.stats()
        hub.topics("t.", 5)
        hub.subscribers("t.1")
        hub.disconnect(topic="t.1")
        with hub.capture():
            pass

    async def loop() -> None:
        chance = random.Random(7)
        while time.monotonic() < end:
            calls = [
                Call(EventSourceResponse(hub.subscribe(pattern("t.>")), key=f"k{n % 3}"))
                for n in range(10)
            ]
            await asyncio.sleep(chance.random() / 50)
            for call in calls:
                await call.leave()

    with threads(
        *[until(end, publish)] * 2,
        *[until(end, read)] * 3,
        until(end, look),
        lambda: asyncio.run(loop()),
    ):
        pass
    gc.collect()
    stats = hub.stats()
    assert (stats.connections, stats.subscriptions) == (0, 0)
    assert stats.opened == sum(stats.closed.values())
    assert all(topic.readers == 0 for topic in hub.topics(limit=1000))


def test_close_and_reset_under_fire() -> None:
    hub = Hub()
    end = time.monotonic() + DURATION

    def publish(chance: random.Random) -> None:
        with suppress(ClosedError):
            hub.publish("t", "x")

    def read(chance: random.Random) -> None:
        with suppress(ClosedError, TimeoutError):
            hub.subscribe("t").get(timeout=0.001)

    def reset(chance: random.Random) -> None:
        hub.close()
        hub.reset()
        time.sleep(0.002)

    with threads(*[until(end, publish)] * 2, *[until(end, read)] * 2, until(end, reset)):
        pass
    hub.reset()
    hub.publish("t", "x")
    gc.collect()
    assert hub.stats().subscriptions == 0


def test_events_and_parsers_shared_by_threads() -> None:
    event, parser = Event({"a": ["é"] * 10}, event="e", id="1"), Parser()
    wire, end = event.encode(), time.monotonic() + DURATION / 2

    def share(chance: random.Random) -> None:
        assert event.encode() == wire
        assert hash(event) == hash(Event({"a": ["é"] * 10}, event="e", id="1"))
        for found in parser.feed(wire):
            assert found.data == event.data

    with threads(*[until(end, share)] * 4):
        pass


async def test_streams_come_and_go_while_threads_publish() -> None:
    hub = Hub(max_lag=1 << 28, history=History(count=1 << 20, bytes=1 << 28))
    app = lambda *args: EventSourceResponse(hub.subscribe("t"))(*args)  # noqa: E731
    end = time.monotonic() + DURATION
    stop = threading.Event()

    def publish(chance: random.Random) -> None:
        hub.publish("t", "x" * chance.randrange(100))
        time.sleep(0.0002)

    async def client(number: int) -> None:
        """Reads a while, leaves, resumes: no hole, nothing twice."""
        last, seen = "", []
        while time.monotonic() < end:
            call = Call(app, headers={"last-event-id": last} if last else None)
            await asyncio.sleep(0.02 + number * 0.003)
            await call.leave()
            events = call.events()
            seen += [int((event.id or "").split("-")[1]) for event in events]
            parser = Parser()
            parser.feed(call.body)
            last = parser.last_event_id
        assert seen
        assert seen == list(range(seen[0], seen[0] + len(seen)))

    with threads(*[until(end, publish)] * 2):
        await asyncio.wait_for(asyncio.gather(*(client(n) for n in range(8))), SOON * 3)
        stop.set()
    await eventually(lambda: hub.stats().connections == 0)


def test_a_collection_under_a_parsers_lock_stops_nobody() -> None:
    # Making an event may start a garbage collection, whose callbacks may hand the GIL over: to a thread that then waits
    # for the parser, for ever if it kept the GIL. In a process of its own, since a stop could not be interrupted.
    script = """
import gc, sys, threading
from ssehub import Parser
sys.setswitchinterval(1e-6)
gc.callbacks.append(lambda *_: sum(range(2000)))
gc.set_threshold(50, 1, 1)
for _ in range(10):
    parser, found = Parser(), []
    def feed():
        for _ in range(300):
            found.extend(parser.feed(b"data: x\\n\\n" * 3))
    threads = [threading.Thread(target=feed) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 * 300 * 3
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=50)
