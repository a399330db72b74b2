"""`EventSource`: a stream of events that comes back by itself."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ssehub._ssehub import Event
from ssehub.client.failures import to_error
from ssehub.client.functions import Functions, GiveHeaders, Judge
from ssehub.client.handle import Handle
from ssehub.client.messages import Gap, Response
from ssehub.client.options import Cert, Reconnect, Redirects, Verify, option_values
from ssehub.client.request import Auth, HeaderFields, Params, request_values
from ssehub.client.waiting import in_task, in_thread
from ssehub.errors import ClientError, ClosedError, SSEHubError

__all__ = ["EventSource"]


class EventSource(Handle):
    """A stream of server-sent events that comes back by itself.

        with EventSource("https://example.com/events") as source:
            for event in source:
                print(event.event, event.data)

        async with EventSource(url, method="POST", json=question, stop_on="[DONE]") as source:
            async for event in source:
                print(event.json())

    The connection is opened by `with`, or by the first event that is asked for, and closed at the end of `with`, by
    `close`, by the end of the stream, or when the object is dropped. Lost connections are replaced, as `reconnect` says,
    and the server is told the last event id. Reading stops while events wait to be taken. One task or thread iterates;
    `close` and `restart` may be called from any.

    Iteration ends where the stream is complete, or not one to come back to, and raises a `ClientError` where there is
    no use in trying on. It waits in a thread (Ctrl-C gets through; cooperative under gevent), in asyncio, or in trio.

    Functions given here are called while the source is iterated. They may be async where it is iterated with
    `async for`. What they raise ends the source, and is raised there.

    Args:
        url: An absolute http: or https: URL. Credentials in it become an Authorization header.
        method: The method. Methods other than GET are not repeated unless `reconnect` says so.
        headers: Header fields; or a function that gives them for each attempt, for tokens that expire. After a 401 it is
            called again at once.
        params: Parameters for the query, beside those of the URL.
        json: The body, as JSON.
        content: The body, as bytes or text.
        auth: (user, password), or a token.
        last_event_id: Where to start: after the last event that was seen in an earlier life.
        reconnect: True after errors and orderly ends, False never, or `Reconnect(...)`. None: True for GET. Statuses 429
            and 5xx are errors to come back from, too, unlike in browsers: a program runs on when a server has a bad
            minute. See `Reconnect.statuses`.
        redirects: Which redirects are followed: True, False or `Redirects(...)`.
        stop_on: The mark after which the stream is complete, whatever `reconnect` says: the data of an event that only
            marks the end, such as "[DONE]", and is not yielded; or a function of an event, true for the last one.
        require_finish: An orderly end without `stop_on` is an UnfinishedError where it is no reason to reconnect. None:
            where `stop_on` is given.
        timeout: Seconds without a single byte, in either direction, after which the connection counts as dead. Comments
            count, so give a bit more than the time between the server's heartbeats. None: no limit.
        connect_timeout: Seconds for a connection to stand, TLS included. None: as long as the system takes.
        verify: The certificates to trust: True for the system's, PEM bytes, a PEM file; False accepts any.
        cert: Our certificate and its key: a PEM file, PEM bytes, or two files. Shown to the URL's own origin only.
        proxy: The URL of a proxy. None: what HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say. False: none.
        on_open: Called with the `Response` of each stream that is open.
        on_error: Called with the error of each attempt that fails and each stream that ends before another attempt is
            made, and with the one that ends the source. See `ClientError.delay`.
        on_gap: Called with a `Gap` where a hub says that events are lost. Without it that event is yielded; its type is
            "ssehub:gap".
        on_comment: Called with the text of each comment, such as a heartbeat, in its place among the events.
        on_redirect: Called with a `Redirect` before it is followed. Returns whether it may be.
        max_event_size: Bytes of one event, decompressed.
        check_content_type: Whether answers must be text/event-stream.
        compression: Asks for a compressed body. Servers and proxies often hold back what they compress.
        http2: True for HTTP/2 only, without TLS by prior knowledge; False for HTTP/1.1 only; None: what the server
            prefers where there is TLS, else HTTP/1.1.
        unix_socket: The socket of a server on this machine. The URL then gives Host and path only.

    Raises:
        ArgumentError: for what cannot work.
        OSError: for files that cannot be read.
    """

    __slots__ = ("_failure", "_functions", "_stop")

    def __init__(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: HeaderFields | GiveHeaders | None = None,
        params: Params | None = None,
        json: Any = None,
        content: str | bytes | None = None,
        auth: Auth | None = None,
        last_event_id: str | None = None,
        reconnect: Reconnect | bool | None = None,
        redirects: Redirects | bool = True,
        stop_on: str | Callable[[Event], object] | None = None,
        require_finish: bool | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = 10.0,
        verify: Verify = True,
        cert: Cert | None = None,
        proxy: str | bool | None = None,
        on_open: Callable[[Response], object] | None = None,
        on_error: Callable[[ClientError], object] | None = None,
        on_gap: Callable[[Gap], object] | None = None,
        on_comment: Callable[[str], object] | None = None,
        on_redirect: Judge | None = None,
        max_event_size: int = 16 * 1024 * 1024,
        check_content_type: bool = True,
        compression: bool = False,
        http2: bool | None = None,
        unix_socket: str | os.PathLike[str] | None = None,
    ) -> None:
        if inspect.iscoroutinefunction(stop_on):
            raise TypeError("stop_on is called for each event, and cannot be async")
        request = request_values(
            url=url,
            method=method,
            headers=None if callable(headers) else headers,
            params=params,
            json=json,
            content=content,
            auth=auth,
            last_event_id=last_event_id,
        )
        options = option_values(
            reconnect=reconnect,
            redirects=redirects,
            ask_redirects=on_redirect is not None,
            ask_headers=callable(headers),
            comments=on_comment is not None,
            stop_on=None if callable(stop_on) else stop_on,
            require_finish=stop_on is not None if require_finish is None else require_finish,
            timeout=timeout,
            connect_timeout=connect_timeout,
            verify=verify,
            cert=cert,
            proxy=proxy,
            max_event_size=max_event_size,
            check_content_type=check_content_type,
            compression=compression,
            http2=http2,
            unix_socket=unix_socket,
        )
        super().__init__(request, options)
        asked = headers if callable(headers) else None
        self._functions = Functions(asked, on_open, on_error, on_gap, on_comment, on_redirect)
        self._stop = stop_on if callable(stop_on) else None
        self._failure: Callable[[], SSEHubError] | None = None

    # Iteration.

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = next(self._events, None)
        if event is None:
            event = self._wait(None)
            if event is None:
                raise StopIteration
        self._current = event
        if self._stop is not None:
            self._end_after(event, self._stop)
        return event

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        event = next(self._events, None)
        if event is None:
            event = await self._await()
            if event is None:
                raise StopAsyncIteration
        self._current = event
        if self._stop is not None:
            self._end_after(event, self._stop)
        return event

    def get(self, timeout: float | None = None) -> Event:
        """The next event, waited for in this thread.

        Args:
            timeout: Seconds to wait at most; None waits as long as it takes.

        Raises:
            TimeoutError: when none came in time; nothing is lost, and the next call goes on.
            ClosedError: when there will be no more.
            ClientError: when there is no use in trying on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        event = next(self._events, None) or self._wait(deadline)
        if event is None:
            raise ClosedError("the stream has ended, or was closed: there will be no more events")
        self._current = event
        if self._stop is not None:
            self._end_after(event, self._stop)
        return event

    # How it goes on.

    def _wait(self, deadline: float | None) -> Event | None:
        """The next event, in a thread. None: there will be no more."""
        while True:
            if (call := self._pending) is not None:
                with self._settling():
                    call.make()
            elif self._take():
                event = next(self._events, None)
                if event is not None:
                    return event
            elif self._is_over():
                return None
            else:
                left = None if deadline is None else deadline - time.monotonic()
                self._waiter = waiter = in_thread(self._waiter, self._open())
                if not waiter.wait(left):
                    raise TimeoutError("no event came in time")

    async def _await(self) -> Event | None:
        """The same in a task."""
        while True:
            if (call := self._pending) is not None:
                with self._settling():
                    await call.amake()
            elif self._take():
                event = next(self._events, None)
                if event is not None:
                    return event
            elif self._is_over():
                return None
            else:
                self._waiter = waiter = in_task(self._waiter, self._open())
                await waiter.wait()

    def _take(self) -> bool:
        """Takes events, or notes what else has happened. Whether there was anything."""
        taken = None if self._closed else self._open().take()
        if taken is None:
            self._note_position()
            return False
        if not isinstance(taken, list):
            self._note(*taken)
        # Another thread may have closed meanwhile.
        elif not self._closed:
            self._events = iter(taken)
            self._last_event_id = taken[-1].id or ""
        return True

    def _is_over(self) -> bool:
        if self._failure is not None:
            raise self._failure()
        if self._native is not None and self._native.ended:
            self.close()
        return self._closed

    def _end_after(self, event: Event, is_last: Callable[[Event], object]) -> None:
        try:
            if is_last(event):
                self._open().finish()
                self.close()
        except Exception:
            self.close()
            raise

    def _note(self, what: str, about: Any) -> None:
        match what:
            case "open":
                self._response = Response.of(about)
            case "gap":
                self._last_event_id = about[-1].id or ""
                if self._functions.on_gap is None:
                    self._events = iter([about[-1]])
            case "forked":
                self._failure = partial(ClosedError, about)
            case "failed":
                # Made anew each time: an exception that is kept keeps all that its traceback refers to.
                self._failure = partial(to_error, about)
        self._pending = self._functions.call(self._open(), what, about)

    @contextmanager
    def _settling(self) -> Iterator[None]:
        """Around a call: what it raises ends the source. Interrupted or cancelled, it is made again."""
        try:
            yield
        except Exception:
            self.close()
            raise
        self._pending = None
