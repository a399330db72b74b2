"""Server-Sent Events for Django, under WSGI and ASGI."""

from __future__ import annotations

import asyncio
import contextvars
import datetime
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from django.db import connections  # type: ignore[import-untyped]
from django.http import (  # type: ignore[import-untyped]
    HttpRequest,
    StreamingHttpResponse,
)

from ssehub.asgi import begin
from ssehub.errors import ArgumentError, DrainingError, HandoffError, LimitError
from ssehub.handoff import refusals
from ssehub.http import HEADERS, Options, refusal
from ssehub.options import Handoff, Refuse
from ssehub.responses import UNSET, make_options
from ssehub.stats import StreamInfo
from ssehub.subscription import Subscription
from ssehub.wsgi import IterableBody, SubscriptionBody

__all__ = ["EventSourceResponse"]


class EventSourceResponse(StreamingHttpResponse):  # type: ignore[misc]
    """A response that streams events: of a hub's subscription, or of any iterable.

        def events(request):
            return EventSourceResponse(hub.subscribe("news"), request=request)

    Under WSGI the stream of a subscription leaves the server's thread at once: the engine takes the client's socket, and
    one worker holds thousands of streams. Under ASGI, and for iterables, the server writes. An iterable has a thread of
    its own under WSGI, with database connections of its own.

    Django's GZipMiddleware holds back what it compresses: leave it out, or exclude the view.

    Args:
        content: A `hub.subscribe(...)`, an iterable of items (the data rule of `hub.publish` applies to each), or a
            callable that makes one. An async iterable needs ASGI.
        status_code: The status.
        headers: More headers, or others than the stream's own.
        media_type: Instead of `text/event-stream`.
        background: A function for when the request is over: that is when the stream is, or when it is detached.
        request: What the view was called with.
        key: Whose stream it is: `hub.disconnect(key=...)` ends it, limits per key count it.
        snapshot: A callable whose Event (or list of them) a new client gets first: the state that the stream's events
            then change. Called on a first connect and after a gap, not on a clean resume.
        heartbeat: Seconds of silence after which a comment is sent; None for never. The hub's setting by default.
        handoff: Who has the client's socket once the response has begun; for subscriptions only. "detach": the engine
            alone, and the server's thread is free at once. "hold": the engine writes, while the connection, the thread
            and the request stay the server's. "off": the server writes. Where a socket cannot be taken, it writes after
            all, and `hub.stats()` says so; "require" raises HandoffError instead.
        max_age: Seconds after which the stream ends, give or take a tenth; the client comes back and resumes.
        expires_at: When the client's right to the stream ends: a timestamp in seconds, or a datetime.
        once: Whether a finished GET stream of an iterable is marked, so that an EventSource that reconnects is told
            204 and does not run the source again (under ASGI: is told nothing, and ended).
        on_close: Called with a StreamInfo when the stream is over.
        announce_position: Whether a stream begins with its position, as a block that has only an id.
        refuse: What a client is told when a limit is reached or the hub drains: "retry" or, under WSGI, "status".
    """

    def __init__(
        self,
        content: Subscription | AsyncIterable[Any] | Iterable[Any] | Callable[[], Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Callable[[], object] | None = None,
        *,
        request: HttpRequest,
        key: str | None = None,
        snapshot: Callable[[], Any] | None = None,
        heartbeat: float | None = UNSET,
        handoff: Handoff = "detach",
        max_age: float | None = None,
        expires_at: float | datetime.datetime | None = None,
        once: bool = True,
        on_close: Callable[[StreamInfo], object] | None = None,
        announce_position: bool = True,
        refuse: Refuse = "retry",
    ) -> None:
        if not isinstance(request, HttpRequest):
            raise ArgumentError(f"request is what the view was called with, not {request!r}")
        super().__init__(
            status=status_code,
            content_type=media_type or "text/event-stream",
            headers=_headers(headers),
        )
        self._options = make_options(
            content,
            key=key,
            snapshot=snapshot,
            heartbeat=heartbeat,
            handoff=handoff,
            max_age=max_age,
            expires_at=expires_at,
            once=once,
            on_close=on_close,
            announce_position=announce_position,
            refuse=refuse,
        )
        if background is not None:
            self._resource_closers.append(background)
        if request.method == "HEAD":
            return
        scope = getattr(request, "scope", None)
        self.streaming_content = (
            self._body(content, request.META) if scope is None else self._chunks(content, scope)
        )

    def _body(self, content: Any, environ: dict[str, Any]) -> Iterable[bytes]:
        """Under WSGI: what the server iterates."""
        options = self._options
        if isinstance(content, AsyncIterable) and not isinstance(content, Subscription):
            raise TypeError("an async iterable needs ASGI: give a plain one under WSGI")
        if not isinstance(content, Iterable):
            content = content()
        if isinstance(content, Subscription):
            try:
                return SubscriptionBody(content, options, environ)
            except (DrainingError, LimitError) as error:
                accept = environ.get("HTTP_ACCEPT")
                status, piece, retry_after = refusal(content.hub, error, accept, options.refuse)
                self.status_code = status
                if retry_after is not None:
                    self.headers["Retry-After"] = retry_after
                    self.headers["Content-Type"] = "text/plain"
                return [piece]
        _no_engine_for(options)
        if IterableBody.is_finished(options, environ):
            self.status_code = 204
            del self.headers["Content-Type"]
            return []
        body = IterableBody(content, options, environ, _in_context)
        body.begin()
        return body

    def _chunks(self, content: Any, scope: dict[str, Any]) -> AsyncIterator[bytes]:
        """Under ASGI: what Django iterates. It keeps the connection to itself."""
        options = self._options
        if isinstance(content, Subscription):
            if options.handoff != "off":
                refusals.refuse(content.hub, "transport", _REMEDY)
            if options.handoff == "require":
                raise HandoffError(f"handoff='require': {refusals.explain('transport', _REMEDY)}")
            options = replace(options, handoff="off")
        else:
            _no_engine_for(options)
        return _run(content, options, scope)


_REMEDY = "Django under ASGI shows none: serve the view by WSGI"


def _headers(own: Mapping[str, str] | None) -> dict[str, str]:
    ours = {name.decode().title(): value.decode() for name, value in HEADERS}
    del ours["Content-Type"]
    return {**ours, **{name.title(): value for name, value in (own or {}).items()}}


def _no_engine_for(options: Options) -> None:
    if options.handoff == "require":
        raise HandoffError(
            "handoff='require' is for subscriptions; an iterable stays the request's"
        )


def _in_context(function: Callable[[], None]) -> Callable[[], None]:
    """The source of an iterable in a thread of its own, whose database connections end with it."""
    context = contextvars.copy_context()

    def run() -> None:
        try:
            context.run(function)
        finally:
            connections.close_all()

    return run


async def _run(content: Any, options: Options, scope: dict[str, Any]) -> AsyncIterator[bytes]:
    """A stream made for a server, as an iterator. The task that iterates ends it by closing the iterator."""
    pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def receive() -> dict[str, Any]:
        # Django listens itself, and ends the iteration.
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message.get("body"):
            pieces.put_nowait(message["body"])
            # The client's pace is the stream's.
            await pieces.join()

    async def stream() -> None:
        found = await begin(content, options, {"headers": []}, scope, receive, send)
        if found is not None:
            await found.run()

    task = asyncio.create_task(stream())
    task.add_done_callback(lambda _: pieces.put_nowait(None))
    try:
        while (piece := await pieces.get()) is not None:
            yield piece
            pieces.task_done()
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
