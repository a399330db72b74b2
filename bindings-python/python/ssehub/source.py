"""Sync iterables where something else must go on meanwhile: each runs in a thread of its own.

Not in a pool: a source may be silent for as long as it likes, and a pool's few threads would be all taken by such. The
threads are daemons: one that waits for ever must not keep a finished process alive.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextvars import copy_context
from typing import Any

__all__ = ["AHEAD", "PATIENCE", "in_thread", "pump", "start_thread"]

# Items that a source may be ahead of its client.
AHEAD = 16
# How often a source that waits for its client looks whether there still is one, in seconds.
PATIENCE = 1.0


def pump(source: Iterable[Any], put: Callable[[str, Any], bool]) -> None:
    """Hands over ("item", value) for each item, then ("end", None) or ("error", exception).

    `put` returns False where nobody takes any more; the source is then closed.
    """
    iterator = iter(source)
    try:
        for item in iterator:
            if not put("item", item):
                return
        put("end", None)
    except Exception as error:  # noqa: BLE001 - the reader's to raise
        put("error", error)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


def start_thread(function: Callable[[], None]) -> None:
    """Runs a function in a thread, in a copy of the caller's context."""
    context = copy_context()
    threading.Thread(
        target=context.run, args=(function,), name="ssehub-source", daemon=True
    ).start()


async def in_thread(source: Iterable[Any]) -> AsyncIterator[Any]:
    """The items of a sync iterable, as an async one."""
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
    room = threading.Semaphore(AHEAD)
    left = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not room.acquire(timeout=PATIENCE):
            if left.is_set():
                return False
        if left.is_set():
            return False
        try:
            loop.call_soon_threadsafe(items.put_nowait, (kind, value))
        except RuntimeError:
            # The loop is closed.
            return False
        return True

    start_thread(lambda: pump(source, put))
    try:
        while True:
            kind, value = await items.get()
            room.release()
            if kind == "item":
                yield value
            elif kind == "error":
                raise value
            else:
                return
    finally:
        # Noticed at the source's next step: a thread cannot be cancelled.
        left.set()
        room.release()
