"""Server-Sent Events for Starlette."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ssehub.asgi import Source, begin
from ssehub.http import response_headers
from ssehub.options import Handoff, Refuse
from ssehub.responses import UNSET, make_options
from ssehub.stats import StreamInfo

__all__ = ["EventSourceResponse"]


class EventSourceResponse(Response):
    """A response that streams events: of a hub's subscription, or of any sync or async iterable.

    Args:
        content: A `hub.subscribe(...)`, an iterable or async iterable of items (the data rule of `hub.publish`
            applies to each), or a callable, sync or async, that makes one.
        status_code: The status.
        headers: More headers, or others than the stream's own.
        media_type: Instead of `text/event-stream`.
        background: A task for when the request is over: that is when the stream is, or when it is detached.
        key: Whose stream it is: `hub.disconnect(key=...)` ends it, limits per key count it.
        snapshot: A callable, sync (then called in a worker thread) or async, whose Event (or list of them) a new
            client gets first: the state that the stream's events then change. Called on a first connect and after a gap, not on a clean resume.
        heartbeat: Seconds of silence after which a comment is sent; None for never. The hub's setting by default.
        handoff: Who has the client's socket once the response has begun; for subscriptions only. "detach": the engine
            alone, and the server, its task, dependencies and memory are free at once. "hold": the engine writes, while
            the connection and the request stay the server's. "off": the server writes. Where a socket cannot be taken
            (TLS or HTTP/2 in the server, an unknown server, a middleware that changes the body), the server writes
            after all, and `hub.stats()` says so; "require" raises HandoffError instead.
        max_age: Seconds after which the stream ends, give or take a tenth; the client comes back and resumes.
        expires_at: When the client's right to the stream ends: a timestamp in seconds, or a datetime.
        once: Whether a finished GET stream of an iterable is marked, so that an EventSource that reconnects is told
            204 and does not run the source again.
        on_close: Called with a StreamInfo when the stream is over.
        announce_position: Whether a stream begins with its position, as a block that has only an id. Switch it off
            for decoders that take such blocks for events, httpx-sse and OpenAI's among them.
        refuse: What a client is told when a limit is reached or the hub drains: "retry" (an empty stream with a
            time to come back) or "status" (429 or 503 with Retry-After).
    """

    media_type = "text/event-stream"
    charset = "utf-8"

    def __init__(
        self,
        content: Source,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
        *,
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
        # Not Response's own: it would add a length and a charset.
        self.status_code = status_code
        self.background = background
        self.raw_headers = response_headers(headers, media_type)
        self.content = content
        self.options = make_options(
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Streams, until the source or the client ends it, or the engine has taken over."""
        head = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        stream = await begin(self.content, self.options, head, scope, receive, send)
        if stream is not None:
            await stream.run()
        if self.background is not None:
            await self.background()
