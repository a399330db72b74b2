"""An iterable's stream: it belongs to the request, and runs in the request's task and context."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

from ssehub.asgi.stream import Stream
from ssehub.callbacks import tell_closed
from ssehub.http import ERROR_EVENT, FINISHED_BLOCK, HEAD_DELAY, HEARTBEAT, item_bytes
from ssehub.shutdown import shutdown
from ssehub.source import in_thread
from ssehub.stats import StreamInfo

__all__ = ["IterableStream"]

logger = logging.getLogger("ssehub")


class IterableStream(Stream):
    """An iterable: it belongs to the request, and runs in the request's task and context."""

    __slots__ = (
        "bytes",
        "events",
        "finished",
        "last_sent",
        "loop",
        "opened",
        "reason",
        "sending",
        "source",
        "started",
    )

    def __init__(self, source: AsyncIterable[Any] | Iterable[Any], *args: Any) -> None:
        super().__init__(*args)
        self.source = source
        self.started = False
        self.finished = False
        # Held while a message is being sent: a heartbeat may fall due just then.
        self.sending = asyncio.Lock()
        self.loop = asyncio.get_running_loop()
        self.opened = self.last_sent = self.loop.time()
        self.events = self.bytes = 0
        self.reason = "client"

    async def run(self) -> None:
        """Streams to the end of the source."""
        self._start_listening()
        shutdown.enter(self)
        keeper = self.loop.create_task(self._keep_alive())
        iterator = self._items()
        try:
            async for item in iterator:
                await self._write(item_bytes(item))
                self.events += 1
                if self.gone:
                    return
            self.finished = True
            mark = self.options.once and self.scope["method"] == "GET"
            await self._write(FINISHED_BLOCK if mark else b"", more=False)
            self.reason = "finished"
        except asyncio.CancelledError:
            if not self._was_interrupted():
                raise
        except Exception:
            self.reason = "error"
            # Before the head the framework may still answer with an error page. After it the exception goes on too,
            # so that the server cuts the body without its terminator.
            if self.started and not self.gone:
                logger.exception("the source of a stream failed: %s", self.scope.get("path", ""))
                await self._write(ERROR_EVENT)
            raise
        finally:
            self.finished = True
            keeper.cancel()
            self._stop_listening()
            shutdown.leave(self)
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()
            self._tell()

    def _tell(self) -> None:
        duration = self.loop.time() - self.opened
        options = self.options
        info = StreamInfo(
            options.key, (), self.reason, "in-loop", duration, self.events, self.bytes, ""
        )
        tell_closed(info, str(self.scope.get("path", "")), [options.on_close])

    def end_soon(self, grace: float) -> None:
        """The server is to stop: gives the source some seconds, then cuts the stream."""
        self.loop.call_later(grace, self._shut)

    def _shut(self) -> None:
        if not self.finished and not self.gone:
            self.reason = "drain"
            self._leave()

    def _items(self) -> AsyncIterator[Any]:
        source = self.source
        return aiter(source) if isinstance(source, AsyncIterable) else in_thread(source)

    async def _start(self) -> None:
        if not self.started:
            self.started = True
            await self.send(self.head)

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        async with self.sending:
            try:
                await self._start()
                await (self._body if more else self._finish)(data)
                self.bytes += len(data)
            except OSError:
                # ASGI 2.4: what `send` raises once the client has gone.
                self._leave()
            self.last_sent = self.loop.time()

    async def _keep_alive(self) -> None:
        """The head after a second, and heartbeats while the source is silent."""
        heartbeat = self.options.heartbeat
        await asyncio.sleep(HEAD_DELAY if heartbeat is None else min(HEAD_DELAY, heartbeat))
        if not self.started and not self.finished:
            # Some servers send no head before the first byte of the body.
            await self._write(b"" if heartbeat is None else HEARTBEAT)
        while heartbeat is not None:
            left = self.last_sent + heartbeat - self.loop.time()
            if left > 0:
                await asyncio.sleep(left)
                continue
            await self._write(HEARTBEAT)
