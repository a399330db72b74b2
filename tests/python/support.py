"""What several test modules need."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ssehub import Event, Hub, Subscription

# Long enough for a busy machine; nothing waits so long unless it fails.
SOON = 10.0


def name_of(value: object) -> str:
    """What a parameter is called: the same in all processes that share out the tests."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value) if isinstance(value, str) else repr(value))


def published(hub: Hub, count: int, topic: str = "t", first: int = 0) -> list[str]:
    """Publishes numbers as text, and returns their ids."""
    return [hub.publish_wait(topic, str(n)) for n in range(first, first + count)]


def take(reader: Subscription, count: int) -> list[str | None]:
    """The data of the next events."""
    return [reader.get(timeout=SOON).data for _ in range(count)]


def drained(reader: Subscription) -> list[Event]:
    """Everything that there is now."""
    events = []
    while True:
        try:
            events.append(reader.get(timeout=0))
        except TimeoutError:
            return events


async def ataken(reader: Subscription, count: int) -> list[str | None]:
    """The data of the next events."""
    return [(await asyncio.wait_for(anext(reader), SOON)).data for _ in range(count)]


async def eventually(condition: Callable[[], object], timeout: float = SOON) -> None:
    """Waits until the condition is true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        await asyncio.sleep(0.005)


@contextmanager
def threads(*functions: Callable[[], object]) -> Iterator[None]:
    """Runs functions in threads of their own beside the block. Raises what they raise."""
    errors: list[BaseException] = []

    def run(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised again by the test
            errors.append(error)

    started = [threading.Thread(target=run, args=(f,), daemon=True) for f in functions]
    for thread in started:
        thread.start()
    yield
    for thread in started:
        thread.join(SOON * 3)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]


def data_of(events: list[Event]) -> list[str | None]:
    return [event.data for event in events]


def gap_of(event: Event) -> dict[str, str]:
    assert event.event == "ssehub:gap"
    found: dict[str, str] = event.json()
    return found
