"""One WSGI call, step by step, and applications to call."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response

from ssehub import Event, Hub, Parser
from ssehub.flask import EventSourceResponse
from support import SOON

SSE = {"accept": "text/event-stream"}


class Call:
    """An application called as a WSGI server does; the test reads the body step by step."""

    def __init__(
        self,
        app: Flask,
        path: str = "/",
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        sock: Any = None,
    ) -> None:
        path, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "test",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in (headers or {}).items():
            environ["HTTP_" + name.upper().replace("-", "_")] = value
        if sock is not None:
            environ["gunicorn.socket"] = sock
        self.body = b""
        self.ended = False
        self._chunks = app(environ, self._start)
        self._iterator = iter(self._chunks)

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status = int(status.split()[0])
        self.header_list = headers
        self.headers = {name.lower(): value for name, value in headers}

    def step(self) -> bytes:
        """The next piece of the body, b"" at its end."""
        try:
            chunk = next(self._iterator)
        except StopIteration:
            self.ended = True
            return b""
        self.body += chunk
        return chunk

    def data(self, count: int) -> list[str | None]:
        """Reads until there are so many events; their data."""
        deadline = time.monotonic() + SOON
        while len(self.events()) < count and not self.ended:
            assert time.monotonic() < deadline
            self.step()
        return [event.data for event in self.events()]

    def rest(self) -> bytes:
        """Reads to the end."""
        while not self.ended:
            self.step()
        return self.body

    def events(self) -> list[Event]:
        return Parser().feed(self.body)

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


def app_for(hub: Hub, *topics: str, **options: Any) -> Flask:
    app = Flask("test")

    @app.route("/", methods=["GET", "POST"])
    def events() -> Response:
        return EventSourceResponse(hub.subscribe(*(topics or ("t",))), **options)

    return app


def source_app(make: Callable[[], Iterable[Any]], **options: Any) -> Flask:
    app = Flask("test")

    @app.route("/", methods=["GET", "POST"])
    def stream() -> Response:
        return EventSourceResponse(make(), **options)

    return app


def closed(hub: Hub) -> dict[str, int]:
    stats = hub.stats()
    assert stats.connections == 0
    return {reason: count for reason, count in stats.closed.items() if count}
