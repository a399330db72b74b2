"""What users want to know of streams: their callbacks, and the access log."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from ssehub.stats import StreamInfo

__all__ = ["call_back", "tell_closed"]

logger = logging.getLogger("ssehub")
access = logging.getLogger("ssehub.access")


def call_back(function: Callable[[StreamInfo], object], info: StreamInfo) -> None:
    """Calls what a user has registered, sync or async: its errors are its own."""
    try:
        result = function(info)
        if inspect.iscoroutine(result):
            _run(result, function)
    except Exception:
        logger.exception("a callback for streams failed: %r", function)


def _run(coroutine: Coroutine[Any, Any, Any], function: object) -> None:
    """Runs an async callback: in the request's loop, or, in a thread that has none, at once."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(coroutine)
        return
    task = loop.create_task(coroutine)
    _running.add(task)

    def done(task: asyncio.Task[Any]) -> None:
        _running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a callback for streams failed: %r", function, exc_info=task.exception())

    task.add_done_callback(done)


# Async callbacks under way: a loop keeps only weak references to its tasks.
_running: set[asyncio.Task[Any]] = set()


def tell_closed(
    stream: StreamInfo, path: str, callbacks: Iterable[Callable[[StreamInfo], object] | None]
) -> None:
    """Tells everybody who wants to know of a stream that is over. The path is without its query, which may be secret."""
    access.info(
        "%s %s %s %.3fs %d events %d bytes",
        path,
        stream.reason,
        stream.mode,
        stream.duration,
        stream.events,
        stream.bytes,
    )
    for function in callbacks:
        if function is not None:
            call_back(function, stream)
