"""Streams in tests: an application without a port, and reads that cannot hang.

    async with connect(app, "/events") as stream:
        hub.publish("news", "hello")
        event = await stream.next(timeout=1)

Takes ASGI applications (Starlette, FastAPI) and WSGI ones (Flask).
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import io
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ssehub._ssehub import Event, Parser
from ssehub.errors import SSEHubError
from ssehub.handoff.asgi import EXTENSION

__all__ = ["Stream", "connect"]

DEFAULT_TIMEOUT = 5.0


def connect(
    app: Any,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    body: bytes = b"",
    timeout: float = DEFAULT_TIMEOUT,
) -> Stream:
    """A client's view of one stream, to be used with `async with`.

    Args:
        app: An ASGI or WSGI application.
        path: Path and query of the request.
        headers: Request headers, `{"Last-Event-ID": ...}` for example.
        method: The request's method.
        body: The request's body.
        timeout: Seconds to wait for the response's head.
    """
    sent = {"accept": "text/event-stream", **{k.lower(): v for k, v in (headers or {}).items()}}
    path, _, query = path.partition("?")
    kind = _Asgi if _is_asgi(app) else _Wsgi
    return Stream(kind(app, method, path, query, sent, body), timeout)


class Stream:
    """One open stream.

    Attributes:
        status: The response's status.
        headers: Its headers, names in lower case.
    """

    def __init__(self, exchange: _Exchange, timeout: float) -> None:
        self._exchange = exchange
        self._timeout = timeout
        self._parser = Parser()
        self._events: deque[Event] = deque()
        self.status = 0
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> Stream:
        self._exchange.start()
        try:
            self.status, self.headers = await asyncio.wait_for(
                asyncio.shield(self._exchange.head), self._timeout
            )
        except BaseException:
            await self._exchange.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def next(self, timeout: float = DEFAULT_TIMEOUT) -> Event:
        """The next event.

        Raises:
            TimeoutError: when none comes within `timeout` seconds.
            EOFError: when the stream has ended.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        while not self._events:
            left = deadline - asyncio.get_running_loop().time()
            try:
                chunk = await asyncio.wait_for(self._exchange.chunks.get(), max(left, 0))
            except asyncio.TimeoutError:
                raise TimeoutError(f"no event within {timeout} s") from None
            if chunk is None:
                self._exchange.chunks.put_nowait(None)
                raise EOFError("the stream has ended")
            self._events.extend(self._parser.feed(chunk))
        return self._events.popleft()

    @property
    def last_event_id(self) -> str:
        """The position that this client would resume from."""
        return self._parser.last_event_id

    @property
    def retry(self) -> int | None:
        """The reconnection time that the stream has set, in milliseconds."""
        return self._parser.retry

    async def close(self) -> None:
        """Leaves, as a client that closes its connection does."""
        await self._exchange.close()


def _is_asgi(app: Any) -> bool:
    """Whether an application is called with three arguments and awaited."""
    if getattr(app, "wsgi_app", None) is not None:
        return False
    target = app if inspect.isfunction(app) else getattr(app, "__call__", app)  # noqa: B004
    if inspect.iscoroutinefunction(target):
        return True
    try:
        return len(inspect.signature(app).parameters) == 3
    except (TypeError, ValueError):
        return False


class _Exchange(ABC):
    """One request, and its response as it comes."""

    def __init__(
        self, app: Any, method: str, path: str, query: str, headers: dict[str, str], body: bytes
    ) -> None:
        self.app = app
        self.method, self.path, self.query = method, path, query
        self.request_headers = headers
        self.body = body
        loop = asyncio.get_running_loop()
        self.head: asyncio.Future[tuple[int, dict[str, str]]] = loop.create_future()
        # Pieces of the body; None is its end.
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        try:
            await self._exchange()
        except Exception as error:  # noqa: BLE001 - the test's to see, where there is no response yet
            if self.head.done():
                self.chunks.put_nowait(None)
                return
            self.head.set_exception(error)
        else:
            self.chunks.put_nowait(None)
            if not self.head.done():
                self.head.set_exception(SSEHubError("the application sent no response"))

    @abstractmethod
    async def _exchange(self) -> None:
        """Calls the application, to the end of its response."""

    @abstractmethod
    async def close(self) -> None:
        """Leaves; waits until the application has noticed."""


class _Asgi(_Exchange):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.left = asyncio.Event()
        self.asked = False

    async def _exchange(self) -> None:
        headers = [(name.encode(), value.encode()) for name, value in self.request_headers.items()]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": unquote(self.path),
            "raw_path": self.path.encode(),
            "query_string": self.query.encode(),
            "root_path": "",
            "headers": [(b"host", b"testserver"), *headers],
            "client": ("testclient", 50000),
            "server": ("testserver", 80),
            "state": {},
            # There is no socket to hand to the engine, and nobody is to be told.
            "extensions": {EXTENSION: None},
        }
        await self.app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            self.head.set_result((message["status"], headers))
        elif message["type"] == "http.response.body" and message.get("body"):
            self.chunks.put_nowait(message["body"])

    async def close(self) -> None:
        self.left.set()
        if self.task is not None:
            await asyncio.wait([self.task], timeout=DEFAULT_TIMEOUT)
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        if self.head.done() and not self.head.cancelled():
            self.head.exception()


class _Wsgi(_Exchange):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.left = False
        self.loop = asyncio.get_running_loop()

    async def _exchange(self) -> None:
        await self.loop.run_in_executor(None, self._serve)
        # From Python 3.14 on the result may be there before what was told from the thread.
        await asyncio.sleep(0)

    def _serve(self) -> None:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(self.path),
            "QUERY_STRING": self.query,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": str(len(self.body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            # What a WSGI server would see on its socket.
            "werkzeug.socket": _Socket(self),
            EXTENSION: None,
        }
        for name, value in self.request_headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key.startswith("CONTENT_") else f"HTTP_{key}"] = value

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> None:
            found = {name.lower(): value for name, value in headers}
            self._tell(self._begin, int(status.split()[0]), found)

        body = self.app(environ, start_response)
        try:
            for chunk in body:
                if self.left:
                    break
                if chunk:
                    self._tell(self.chunks.put_nowait, chunk)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def _tell(self, function: Any, *args: Any) -> None:
        self.loop.call_soon_threadsafe(function, *args)

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        if not self.head.done():
            self.head.set_result((status, headers))

    async def close(self) -> None:
        self.left = True
        if self.task is not None:
            await asyncio.wait([self.task], timeout=DEFAULT_TIMEOUT)
        if self.head.done() and not self.head.cancelled():
            self.head.exception()


class _Socket:
    """In the place of a server's socket: its descriptor is gone once the client has left."""

    def __init__(self, exchange: _Wsgi) -> None:
        self._exchange = exchange

    def fileno(self) -> int:
        if self._exchange.left:
            raise ConnectionResetError(errno.ECONNRESET, "the client has left")
        # No descriptor of ours: what is not there cannot be probed.
        return _NO_PROBE


_NO_PROBE = -1
