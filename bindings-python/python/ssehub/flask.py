"""Server-Sent Events for Flask."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any

from flask import Response, copy_current_request_context, current_app, has_request_context

from ssehub.errors import DrainingError, HandoffError, LimitError
from ssehub.http import HEADERS, refusal
from ssehub.options import Handoff, Refuse
from ssehub.responses import UNSET, make_options
from ssehub.stats import StreamInfo
from ssehub.subscription import Subscription
from ssehub.wsgi import IterableBody, SubscriptionBody

__all__ = ["EventSourceResponse"]


class EventSourceResponse(Response):
    """A response that streams events: of a hub's subscription, or of any iterable.

    The stream of a subscription leaves the server's thread (or greenlet) at once: the engine takes the client's socket,
    and one worker holds thousands of streams. Where it cannot, and for iterables, the stream occupies the thread for as
    long as it lasts. An iterable runs in a thread of its own, with a copy of the request's context.

    Args:
        content: A `hub.subscribe(...)`, an iterable of items (the data rule of `hub.publish` applies to each), or a
            callable that makes one.
        status_code: The status.
        headers: More headers, or others than the stream's own.
        media_type: Instead of `text/event-stream`.
        background: A function for when the request is over: that is when the stream is, or when it is detached.
        key: Whose stream it is: `hub.disconnect(key=...)` ends it, limits per key count it.
        snapshot: A callable whose Event (or list of them) a new client gets first: the state that the stream's events
            then change. Called on a first connect and after a gap, not on a clean resume.
        heartbeat: Seconds of silence after which a comment is sent; None for never. The hub's setting by default.
        handoff: Who has the client's socket once the response has begun; for subscriptions only. "detach": the engine
            alone, and the server's thread is free at once. "hold": the engine writes, while the connection, the thread
            and the request stay the server's. "off": the server's thread writes. Where a socket cannot be taken (TLS in
            the server, an unknown server, a middleware that changes the body), it writes after all, and `hub.stats()`
            says so; "require" raises HandoffError instead.
        max_age: Seconds after which the stream ends, give or take a tenth; the client comes back and resumes.
        expires_at: When the client's right to the stream ends: a timestamp in seconds, or a datetime.
        once: Whether a finished GET stream of an iterable is marked, so that an EventSource that reconnects is told
            204 and does not run the source again.
        on_close: Called with a StreamInfo when the stream is over.
        announce_position: Whether a stream begins with its position, as a block that has only an id.
        refuse: What a client is told when a limit is reached or the hub drains: "retry" or "status".
    """

    default_mimetype = "text/event-stream"

    def __init__(
        self,
        content: Subscription | Iterable[Any] | Callable[[], Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Callable[[], object] | None = None,
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
        super().__init__(None, status=status_code)
        for name, value in HEADERS:
            self.headers[name.decode().title()] = value.decode()
        if media_type is not None:
            self.headers["Content-Type"] = media_type
        self.headers.update(headers or {})
        self.headers.pop("Content-Length", None)
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
        if isinstance(content, AsyncIterable) and not isinstance(content, Subscription):
            raise TypeError(
                "Flask streams from its own thread: give a plain iterable, not an async one"
            )
        self.content = content
        if background is not None:
            self.call_on_close(background)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Streams, until the source or the client ends it, or the engine has taken over."""
        content = self.content
        if environ["REQUEST_METHOD"] == "HEAD":
            return self._send(environ, start_response)
        if not isinstance(content, (Subscription, Iterable)):
            content = content()
        if isinstance(content, Subscription):
            return self._subscription(content, environ, start_response)
        if self.options.handoff == "require":
            raise HandoffError(
                "handoff='require' is for subscriptions; an iterable stays the request's"
            )
        return self._iterable(content, environ, start_response)

    def _subscription(
        self, source: Subscription, environ: dict[str, Any], start_response: Any
    ) -> Iterable[bytes]:
        try:
            self.response = SubscriptionBody(source, self.options, environ)
        except (DrainingError, LimitError) as error:
            accept = environ.get("HTTP_ACCEPT")
            status, body, retry_after = refusal(source.hub, error, accept, self.options.refuse)
            self.status_code = status
            self.response = [body]
            if retry_after is not None:
                self.headers["Retry-After"] = retry_after
                self.headers["Content-Type"] = "text/plain"
        except Exception as error:  # noqa: BLE001 - of the snapshot: nothing has been sent
            return self._fail(error, environ, start_response)
        return self._send(environ, start_response)

    def _iterable(
        self, source: Iterable[Any], environ: dict[str, Any], start_response: Any
    ) -> Iterable[bytes]:
        if IterableBody.is_finished(self.options, environ):
            self.status_code = 204
            del self.headers["Content-Type"]
            self.response = []
            return self._send(environ, start_response)
        if has_request_context():
            body = IterableBody(source, self.options, environ, copy_current_request_context)
        else:
            body = IterableBody(source, self.options, environ)
        try:
            body.begin()
        except Exception as error:  # noqa: BLE001 - the framework's to answer: nothing has been sent
            return self._fail(error, environ, start_response)
        self.response = body
        return self._send(environ, start_response)

    def _send(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return super().__call__(environ, start_response)

    @staticmethod
    def _fail(error: Exception, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The application's own answer to an exception, as if the view had raised it."""
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        try:
            response = app.make_response(app.handle_user_exception(error))
        except Exception as unhandled:  # noqa: BLE001
            response = app.handle_exception(unhandled)
        answer: Iterable[bytes] = response(environ, start_response)
        return answer
