"""Streams in an ASGI server's event loop. Framework-neutral: `starlette.py` gives it a face."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    MutableMapping,
)
from typing import Any, TypeAlias, cast

from ssehub._ssehub import End, Gap
from ssehub.callbacks import tell_closed
from ssehub.errors import DrainingError, HandoffError, LimitError
from ssehub.handoff.asgi import find_transport
from ssehub.http import (
    ERROR_EVENT,
    FINISHED,
    FINISHED_BLOCK,
    HEAD_DELAY,
    HEARTBEAT,
    WRITE_TIMEOUT,
    Options,
    announces,
    item_bytes,
    position,
    refusal,
    snapshot_bytes,
    start,
)
from ssehub.options import milliseconds
from ssehub.shutdown import shutdown
from ssehub.source import in_thread
from ssehub.stats import StreamInfo
from ssehub.subscription import Subscription

__all__ = ["Source", "begin"]

logger = logging.getLogger("ssehub")

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Source: TypeAlias = "Subscription | AsyncIterable[Any] | Iterable[Any] | Callable[[], Any]"


async def begin(
    source: Source, options: Options, head: Message, scope: Scope, receive: Receive, send: Send
) -> SubscriptionStream | IterableStream | None:
    """The stream that answers a request, to be run; None where the answer is given already.

    `head` is the response's `http.response.start` message.
    """
    if scope["method"] == "HEAD":
        await _answer(send, head)
        return None
    if not isinstance(source, (Subscription, AsyncIterable, Iterable)):
        source = await _call(source)
    if isinstance(source, Subscription):
        if options.handoff == "require":
            raise HandoffError(
                "handoff='require': this version serves all streams in the server's event loop; "
                "use handoff='detach', which takes the socket where it can"
            )
        return SubscriptionStream(source, options, head, scope, receive, send)
    if options.handoff == "require":
        raise HandoffError(
            "handoff='require' is for subscriptions; an iterable stays the request's"
        )
    if options.once and scope["method"] == "GET" and _last_event_id(scope) == FINISHED:
        await _answer(send, {**head, "status": 204, "headers": _without_type(head)})
        return None
    return IterableStream(cast("Iterable[Any]", source), options, head, scope, receive, send)


async def _answer(send: Send, head: Message, body: bytes = b"") -> None:
    await send(head)
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _call(function: Callable[[], Any]) -> Any:
    result = function()
    return await result if inspect.isawaitable(result) else result


async def _call_aside(function: Callable[[], Any]) -> Any:
    """Calls what may ask a database: a sync function in a worker thread, where it stops nobody."""
    if inspect.iscoroutinefunction(function):
        return await function()
    result = await asyncio.to_thread(function)
    return await result if inspect.isawaitable(result) else result


def _header(scope: Scope, name: bytes) -> str | None:
    """A request header. UTF-8, as EventSource writes it; what is not is no id of ours either way."""
    for key, value in scope["headers"]:
        if key == name:
            return cast("bytes", value).decode("utf-8", "replace")
    return None


def _last_event_id(scope: Scope) -> str:
    return position(
        _header(scope, b"last-event-id"), scope.get("query_string", b"").decode("latin-1")
    )


def _without_type(head: Message) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in head["headers"] if name != b"content-type"]


class _Stream:
    """One response: notices the client's leaving, whatever the stream is doing then."""

    __slots__ = ("gone", "head", "listener", "options", "receive", "scope", "send", "task")

    def __init__(
        self, options: Options, head: Message, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self.options = options
        self.head = head
        self.scope = scope
        self.receive = receive
        self.send = send
        self.task = asyncio.current_task()
        # Set when the stream is to end from outside: the client has left, or takes nothing.
        self.gone = False
        self.listener: asyncio.Task[None] | None = None

    def _start_listening(self) -> None:
        self.listener = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        receive = self.receive
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        except Exception:
            logger.debug("receive failed; the client counts as gone", exc_info=True)
        self._leave()

    def _leave(self) -> None:
        """The client has gone."""
        if not self.gone:
            self.gone = True
            if asyncio.current_task() is not self.task:
                self._interrupt()

    def _stop_listening(self) -> None:
        if self.listener is not None:
            self.listener.cancel()

    def _interrupt(self) -> None:
        """Wakes the stream out of whatever it is waiting for."""
        if self.task is not None:
            self.task.cancel()

    def _was_interrupted(self) -> bool:
        """Whether a cancellation was ours; anybody else's goes on."""
        if self.gone and hasattr(self.task, "uncancel"):
            self.task.uncancel()  # type: ignore[union-attr]
        return self.gone

    async def _body(self, data: bytes) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def _finish(self, data: bytes = b"") -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": False})


class SubscriptionStream(_Stream):
    """A subscription: the hub decides what goes out, this writes it."""

    __slots__ = ("asking", "host", "hub", "reason", "source", "token", "waiting")

    def __init__(self, source: Subscription, *args: Any) -> None:
        super().__init__(*args)
        self.source = source
        self.hub = source.hub
        self.host = self.hub._host()
        self.token = 0
        self.reason = "client"
        # Whether the task waits for the hub, where it can be woken without being cancelled.
        self.waiting = False
        # Whether the snapshot is being made: what it raises is its own.
        self.asking = False

    async def run(self) -> None:
        """Streams to the end. Everything in one coroutine: each level costs every client memory."""
        hub, host, send = self.hub, self.host, self.send
        try:
            token = self._attach()
        except (DrainingError, LimitError) as error:
            await self._refuse(error)
            return
        reason = "error"
        try:
            self._start_listening()
            # Before the head: if it fails, the framework may still answer with an error page.
            first = await self._first()
            await send(self.head)
            hub._opened(self.options.key, self.source.topics, host.selector.position(token) or "")
            if first:
                await self._body(first)
            while not self.gone:
                delivery = host.take(token)
                if delivery is None:
                    self.waiting = True
                    delivery = await host.wait(token)
                    self.waiting = False
                if type(delivery) is bytes:
                    await send({"type": "http.response.body", "body": delivery, "more_body": True})
                elif isinstance(delivery, Gap):
                    # In one piece: whoever has the gap's id resumes behind it.
                    await self._body(delivery.frame + await self._snapshot())
                elif isinstance(delivery, End):
                    self.reason = delivery.reason
                    await self._finish(delivery.last or b"")
                    break
            reason = self.reason
        except asyncio.CancelledError:
            if not self._was_interrupted():
                # The server is done with the request.
                reason = "client" if hub.ready else "drain"
                raise
            reason = self.reason
        except OSError:
            if self.asking:
                raise
            # ASGI 2.4: what `send` raises once the client has gone.
            reason = "client"
        finally:
            self._stop_listening()
            info = host.remove(token, reason)
            hub._closed(info, str(self.scope.get("path", "")), self.options.on_close)

    def _attach(self) -> int:
        hub, options = self.hub, self.options
        shutdown.watch(hub)
        last_event_id = _last_event_id(self.scope)
        self.token = self.host.add(
            start(self.source, options, last_event_id),
            self._cut,
            key=options.key,
            retry=hub._retry,
            announce_position=announces(self.source, options, last_event_id),
            heartbeat=milliseconds(options.heartbeat, "heartbeat"),
            max_age=milliseconds(options.max_age, "max_age"),
            expires_in=options.expires_in(),
            write_timeout=WRITE_TIMEOUT,
            connection=True,
        )
        return self.token

    async def _first(self) -> bytes:
        """What a stream with a snapshot begins with, unless its client can resume."""
        selector = self.host.selector
        if self.options.snapshot is None or not selector.needs_snapshot(self.token):
            return b""
        opening = selector.poll(self.token)
        return (opening if isinstance(opening, bytes) else b"") + await self._snapshot()

    async def _snapshot(self) -> bytes:
        if self.options.snapshot is None:
            return b""
        at = self.host.selector.position(self.token)
        self.asking = True
        items = await _call_aside(self.options.snapshot)
        self.asking = False
        return snapshot_bytes(self.hub, items, at)

    async def _refuse(self, error: Exception) -> None:
        accept = _header(self.scope, b"accept")
        status, body, retry_after = refusal(self.hub, error, accept, self.options.refuse)
        headers = self.head["headers"]
        if retry_after is not None:
            headers = [*_without_type(self.head), (b"retry-after", retry_after.encode())]
        await _answer(self.send, {**self.head, "status": status, "headers": headers}, body)

    def _interrupt(self) -> None:
        if not (self.waiting and self.host.interrupt(self.token)):
            super()._interrupt()

    def _cut(self, end: End) -> None:
        """The client takes nothing: no farewell would reach it."""
        self.reason = end.reason
        self.gone = True
        transport = find_transport(self.receive, self.send)
        if transport is not None:
            # Otherwise the server would wait for the client to take what is buffered.
            transport.abort()
        super()._interrupt()


class IterableStream(_Stream):
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
