"""Streams in an ASGI server's event loop. Framework-neutral: `starlette.py` and `fastapi.py` give it a face."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
)
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import parse_qs

from ssehub._ssehub import End, Event, Gap, encode
from ssehub.errors import DrainingError, HandoffError, LimitError
from ssehub.handoff.asgi import find_transport
from ssehub.options import Handoff, Refuse, milliseconds
from ssehub.subscription import Subscription

if TYPE_CHECKING:
    from ssehub.hub import Hub, StreamInfo

__all__ = ["Options", "Source", "refusal", "serve", "wants_stream"]

logger = logging.getLogger("ssehub")

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Source: TypeAlias = "Subscription | AsyncIterable[Any] | Iterable[Any] | Callable[[], Any]"

HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)

# The last id of a finished stream: an EventSource that comes back with it is told to stay away.
FINISHED = "ssehub:finished"
FINISHED_BLOCK = encode(id=FINISHED)
HEARTBEAT = b":\n"
# No details: they are in the server's log.
ERROR_EVENT = b"event: ssehub:error\ndata: \n\n"
# A head that waits for the first item waits no longer than this, in seconds.
HEAD_DELAY = 1.0

# In the place of an item: there will be no more.
_END: Any = object()


@dataclass(slots=True)
class Options:
    """What a response says of its stream."""

    key: str | None = None
    snapshot: Callable[[], Any] | None = None
    heartbeat: float | None = None
    handoff: Handoff = "detach"
    max_age: float | None = None
    expires_at: float | None = None
    once: bool = True
    on_close: Callable[[StreamInfo], object] | None = None
    announce_position: bool = True
    refuse: Refuse = "retry"

    def expires_in(self) -> int | None:
        """Milliseconds until the client's right to the stream expires."""
        if self.expires_at is None:
            return None
        return max(round((self.expires_at - time.time()) * 1000), 1)


async def serve(
    source: Source,
    options: Options,
    head: MutableMapping[str, Any],
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Answers one request with a stream. `head` is its `http.response.start` message."""
    if scope["method"] == "HEAD":
        await send(head)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    if not isinstance(source, (Subscription, AsyncIterable, Iterable)):
        source = await _call(source)
    if isinstance(source, Subscription):
        await _SubscriptionStream(source, options, head, scope, receive, send).run()
        return
    if options.handoff == "require":
        raise HandoffError(
            "handoff='require' concerns subscriptions; an iterable stays the request's"
        )
    if scope["method"] == "GET" and options.once and last_event_id(scope) == FINISHED:
        await send({**head, "status": 204, "headers": _without_type(head["headers"])})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    await _IterableStream(cast("Iterable[Any]", source), options, head, scope, receive, send).run()


def header(scope: Scope, name: bytes) -> str | None:
    """A request header. UTF-8, as EventSource writes it; what is not is no id of ours either way."""
    for key, value in scope["headers"]:
        if key == name:
            return cast("bytes", value).decode("utf-8", "replace")
    return None


def last_event_id(scope: Scope) -> str:
    """The client's position: the header, else the query parameter."""
    given = header(scope, b"last-event-id")
    if given:
        return given
    query: str = scope.get("query_string", b"").decode("latin-1")
    if "lastEventId" not in query:
        return ""
    return parse_qs(query).get("lastEventId", [""])[0]


def wants_stream(accept: str | None) -> bool:
    """Whether the client named the media type: EventSource does."""
    return accept is not None and "text/event-stream" in accept.lower()


def refusal(
    hub: Hub, error: Exception, accept: str | None, refuse: Refuse
) -> tuple[int, bytes, str | None]:
    """Status, body and Retry-After for a stream that is refused.

    EventSource never comes back after a status other than 200, so it gets a stream that says when to, and ends.
    """
    retry = hub._jittered_retry()
    if refuse == "retry" and wants_stream(accept):
        return 200, encode(retry=retry), None
    status = 429 if isinstance(error, LimitError) else 503
    return status, b"", str(max(round(retry / 1000), 1))


async def _call(function: Callable[[], Any]) -> Any:
    result = function()
    return await result if inspect.isawaitable(result) else result


def _without_type(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name != b"content-type"]


class _Stream:
    """One response: notices the client's leaving, whatever the stream is doing then."""

    def __init__(
        self,
        options: Options,
        head: MutableMapping[str, Any],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self.options = options
        self.head = head
        self.scope = scope
        self.receive = receive
        self.send = send
        self.loop = asyncio.get_running_loop()
        self.task = asyncio.current_task()
        # Set when the stream is to end from outside: the client has left, or takes nothing.
        self.gone = False

    async def run(self) -> None:
        listener = self.loop.create_task(self._listen())
        try:
            await self._stream()
        except asyncio.CancelledError:
            # Ours, sent to interrupt whatever was waiting; anybody else's goes on.
            if not self.gone:
                raise
            if hasattr(self.task, "uncancel"):
                self.task.uncancel()  # type: ignore[union-attr]
        finally:
            listener.cancel()

    async def _listen(self) -> None:
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                break
        self._leave()

    def _leave(self) -> None:
        if not self.gone:
            self.gone = True
            self._interrupt()

    def _interrupt(self) -> None:
        if self.task is not None:
            self.task.cancel()

    async def _body(self, data: bytes) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def _finish(self, data: bytes = b"") -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": False})

    async def _stream(self) -> None:
        raise NotImplementedError  # pragma: no cover

    def _path(self) -> str:
        return str(self.scope.get("path", ""))


class _SubscriptionStream(_Stream):
    """A subscription: the hub decides what goes out, this writes it."""

    def __init__(self, source: Subscription, *args: Any) -> None:
        super().__init__(*args)
        self.source = source
        self.hub = source.hub
        self.host = self.hub._host()
        self.token = 0
        # Whether the task is in `host.next`, where it can be woken without being cancelled.
        self.waiting = False

    async def run(self) -> None:
        options, hub = self.options, self.hub
        if options.handoff == "require":
            raise HandoffError(
                "handoff='require': this version serves all streams in the server's event loop; "
                "use handoff='detach', which takes the socket where it can"
            )
        hub._watch_signals()
        native = self.source._native
        given = last_event_id(self.scope)
        if given:
            native = native.resume(given)
        if options.snapshot is not None:
            native = native.live_after_gap()
        heartbeat = options.heartbeat
        try:
            self.token = self.host.add(
                native,
                self._cut,
                key=options.key,
                retry=hub._retry,
                announce_position=options.announce_position,
                heartbeat=milliseconds(heartbeat, "heartbeat"),
                max_age=milliseconds(options.max_age, "max_age"),
                expires_in=options.expires_in(),
                write_timeout=30_000,
                connection=True,
            )
        except (DrainingError, LimitError) as error:
            await self._refuse(error)
            return
        reason = "error"
        self.reason = "client"
        try:
            await super().run()
            reason = self.reason
        except asyncio.CancelledError:
            # The server is done with the request.
            reason = "drain" if not hub.ready else "client"
            raise
        finally:
            hub._closed(self.host.remove(self.token, reason), self._path(), options.on_close)

    async def _stream(self) -> None:
        await self.send(self.head)
        host, token, send = self.host, self.token, self.send
        position = host.selector.position(token) or ""
        self.hub._opened(self.options.key, self.source.topics, position)
        snapshot = self.options.snapshot
        if snapshot is not None:
            await self._begin_with_snapshot(snapshot)
        while not self.gone:
            self.waiting = True
            delivery = await host.next(token)
            self.waiting = False
            if type(delivery) is bytes:
                await send({"type": "http.response.body", "body": delivery, "more_body": True})
            elif isinstance(delivery, Gap):
                await self._body(delivery.frame)
                if snapshot is not None:
                    await self._snapshot(snapshot)
            elif isinstance(delivery, End):
                self.reason = delivery.reason
                if not self.gone:
                    await self._finish(delivery.last or b"")
                return
            else:
                return

    async def _begin_with_snapshot(self, snapshot: Callable[[], Any]) -> None:
        """The opening block and the state that it stands for, unless the client can resume."""
        if not self.host.selector.needs_snapshot(self.token):
            return
        opening = self.host.selector.poll(self.token)
        if isinstance(opening, bytes):
            await self._body(opening)
            await self._snapshot(snapshot)

    async def _snapshot(self, snapshot: Callable[[], Any]) -> None:
        position = self.host.selector.position(self.token)
        items = await _call(snapshot)
        events = items if isinstance(items, (list, tuple)) else [items]
        await self._body(b"".join(_with_id(self.hub, item, position) for item in events))

    async def _refuse(self, error: Exception) -> None:
        accept = header(self.scope, b"accept")
        status, body, retry_after = refusal(self.hub, error, accept, self.options.refuse)
        headers = list(self.head["headers"])
        if retry_after is not None:
            headers = [*_without_type(headers), (b"retry-after", retry_after.encode())]
        await self.send({**self.head, "status": status, "headers": headers})
        await self._finish(body)

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
        _Stream._interrupt(self)


def _with_id(hub: Hub, item: Any, position: str | None) -> bytes:
    """An event of a snapshot, with the id of the position that it describes."""
    if not isinstance(item, Event):
        item = Event(hub._text(item))
    return encode(item.data, event=item.event, id=position, retry=item.retry, comment=item.comment)


class _IterableStream(_Stream):
    """An iterable: it belongs to the request, and runs in the request's task and context."""

    def __init__(self, source: AsyncIterable[Any] | Iterable[Any], *args: Any) -> None:
        super().__init__(*args)
        self.source = source
        self.started = False
        # Held while a message is being sent: a heartbeat may fall due just then.
        self.sending = asyncio.Lock()
        self.last_sent = self.loop.time()
        self.finished = False

    async def _stream(self) -> None:
        keeper = self.loop.create_task(self._keep_alive())
        iterator = aiter(_as_async(self.source))
        try:
            try:
                async for item in iterator:
                    await self._write(_item(item))
                    if self.gone:
                        return
            except Exception:
                if not self.started:
                    # Nothing has been said yet: the framework may still answer with an error page.
                    raise
                logger.exception("the source of a stream failed: %s", self._path())
                await self._write(ERROR_EVENT)
                # Raised on, so that the server cuts the body without its terminator.
                raise
            mark = self.scope["method"] == "GET" and self.options.once
            self.finished = True
            keeper.cancel()
            async with self.sending:
                await self._start()
                await self._finish(FINISHED_BLOCK if mark else b"")
        finally:
            self.finished = True
            keeper.cancel()
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()

    async def _start(self) -> None:
        if not self.started:
            self.started = True
            await self.send(self.head)

    async def _write(self, data: bytes) -> None:
        async with self.sending:
            await self._start()
            await self._body(data)
            self.last_sent = self.loop.time()

    async def _keep_alive(self) -> None:
        """The head after a second, and heartbeats while the source is silent."""
        heartbeat = self.options.heartbeat
        await asyncio.sleep(HEAD_DELAY if heartbeat is None else min(HEAD_DELAY, heartbeat))
        async with self.sending:
            if not self.started and not self.finished:
                await self._start()
                # Some servers send no head before the first byte of the body.
                await self._body(b"" if heartbeat is None else HEARTBEAT)
        while heartbeat is not None:
            left = self.last_sent + heartbeat - self.loop.time()
            if left > 0:
                await asyncio.sleep(left)
                continue
            await self._write(HEARTBEAT)


def _item(item: Any) -> bytes:
    return item.encode() if isinstance(item, Event) else encode("null" if item is None else item)


def _as_async(source: AsyncIterable[Any] | Iterable[Any]) -> AsyncIterable[Any]:
    return source if isinstance(source, AsyncIterable) else _in_thread(source)


def _step(iterator: Iterator[Any]) -> Any:
    return next(iterator, _END)


async def _in_thread(source: Iterable[Any]) -> Any:
    """A sync iterable, one step at a time in a worker thread, all steps in the request's context."""
    loop = asyncio.get_running_loop()
    context = copy_context()
    iterator = iter(source)
    running: asyncio.Future[Any] | None = None
    try:
        while True:
            running = loop.run_in_executor(None, context.run, _step, iterator)
            # Shielded: a thread cannot be cancelled, and the iterator must not be closed while it runs.
            item = await asyncio.shield(running)
            if item is _END:
                return
            yield item
    finally:
        close = getattr(iterator, "close", None)
        if close is not None and running is not None:
            if running.done():
                await loop.run_in_executor(None, context.run, close)
            else:
                running.add_done_callback(lambda _: loop.run_in_executor(None, context.run, close))


def response_headers(
    headers: Mapping[str, str] | None, media_type: str | None
) -> list[tuple[bytes, bytes]]:
    """The stream's headers, the caller's own before ours."""
    own = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in (headers or {}).items()
    ]
    if media_type is not None:
        own = [*own, (b"content-type", media_type.encode("latin-1"))]
    names = {name for name, _ in own}
    return [*own, *((name, value) for name, value in HEADERS if name not in names)]
