"""One ASGI call, message by message: what `ssehub.testing` hides, and servers see. And an application to call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ssehub import Event, Hub, Parser
from ssehub.starlette import EventSourceResponse
from support import SOON, eventually

App = Callable[..., Awaitable[None]]


class Call:
    """An application called by a server that the test plays."""

    def __init__(
        self,
        app: App,
        path: str = "/",
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]] | None = None,
        body: bytes = b"",
    ) -> None:
        path, _, query = path.partition("?")
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in {"host": "test", **(headers or {})}.items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": {},
        }
        self.messages: list[MutableMapping[str, Any]] = []
        self.gone = asyncio.Event()
        self._body: bytes | None = body
        self._own_send = send
        self.task = asyncio.create_task(app(self.scope, self._receive, self._send))  # type: ignore[arg-type]

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if self._own_send is not None:
            await self._own_send(message)
        self.messages.append(message)

    @property
    def status(self) -> int | None:
        return self.messages[0]["status"] if self.messages else None

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name.decode(), value.decode()) for name, value in self.messages[0]["headers"]]

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def terminated(self) -> bool:
        """Whether the body was ended, and not cut."""
        return bool(self.messages) and self.messages[-1].get("more_body") is False

    def events(self) -> list[Event]:
        return Parser().feed(self.body)

    def data(self) -> list[str | None]:
        return [event.data for event in self.events()]

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until something has been sent."""
        await eventually(lambda: condition() or self.task.done())
        assert condition(), (self.messages, self.task)

    async def has(self, *data: str) -> None:
        """Waits until these, and no others, are the events' data."""
        await self.until(lambda: len(self.data()) >= len(data))
        assert self.data() == list(data)

    async def end(self) -> None:
        """Waits until the application has returned. Raises what it raises."""
        await asyncio.wait_for(self.task, SOON)

    async def leave(self, within: float = SOON) -> None:
        """What a server says when the client has gone; waits for the application to return."""
        self.gone.set()
        await asyncio.wait_for(self.task, within)


SSE = {"accept": "text/event-stream"}


def app_for(
    hub: Hub, *topics: str, middleware: list[Middleware] | None = None, **options: Any
) -> Starlette:
    async def events(request: Request) -> Response:
        return EventSourceResponse(hub.subscribe(*(topics or ("t",))), **options)

    return Starlette(
        routes=[Route("/", events, methods=["GET", "POST", "PUT"])], middleware=middleware or []
    )


async def opened(hub: Hub, count: int = 1) -> None:
    await eventually(lambda: hub.stats().connections == count)


def closed(hub: Hub, **reasons: int) -> bool:
    stats = hub.stats()
    counts = {reason: count for reason, count in stats.closed.items() if count}
    assert stats.connections == 0
    assert counts == reasons
    return True
