"""A service under test, and the clients that it makes: its side of the test-service protocol."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urljoin, urlsplit

from endpoints import Callbacks


class ServiceError(Exception):
    """The service does not do what the protocol says."""


class Service:
    """A program that runs clients on demand."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.capabilities: frozenset[str] = frozenset()

    async def start(self, patience: float = 20.0) -> None:
        """Waits until it answers, and asks what it can."""
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            try:
                _, _, body = await self.request("GET", self.url)
                break
            except OSError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.05)
        self.capabilities = frozenset(json.loads(body or b"{}").get("capabilities", ()))

    async def client(self, callbacks: Callbacks, stream_url: str, **options: Any) -> Client:
        """Has it make a client of a stream."""
        wanted = {"streamUrl": stream_url, "callbackUrl": callbacks.url, **options}
        status, location, body = await self.request("POST", self.url, wanted)
        if status // 100 != 2 or not location:
            raise ServiceError(f"no client: status {status}, Location {location!r}, {body!r}")
        return Client(self, urljoin(self.url, location), callbacks)

    async def request(
        self, method: str, url: str, body: Any = None
    ) -> tuple[int, str | None, bytes]:
        """Status, Location and body of an answer."""
        return await asyncio.to_thread(_request, method, url, body)


class Client:
    """One client of the service, and what it says that it sees."""

    def __init__(self, service: Service, url: str, callbacks: Callbacks) -> None:
        self._service = service
        self._url = url
        self._callbacks = callbacks
        self._may_fail = False

    async def event(self) -> dict[str, str]:
        """The next event, complete."""
        message = await self._callbacks.message()
        if self._may_fail and message["kind"] == "error":
            message = await self._callbacks.message()
        self._may_fail = False
        assert message["kind"] == "event", f"an event was to come, not {message}"
        event = message["event"]
        return {
            "type": event.get("type") or "message",
            "data": event["data"],
            "id": event.get("id") or "",
        }

    async def gets(self, *data: str, **first: str) -> None:
        """Checks the next events: their data, and the type and id of the first. Ids persist, types do not."""
        wanted = {"type": "message", "id": "", **first}
        for expected in data:
            event = await self.event()
            wanted["data"] = expected
            assert event == wanted, f"{wanted} was to come, not {event}"
            wanted["type"] = "message"

    async def error(self) -> None:
        """Checks that an error comes next."""
        message = await self._callbacks.message()
        assert message["kind"] == "error", f"an error was to come, not {message}"

    async def comment(self, expected: str) -> None:
        """Checks that a comment comes next."""
        message = await self._callbacks.message()
        assert (message["kind"], message.get("comment")) == ("comment", expected), message

    def may_fail(self) -> None:
        """An error may come before the next event."""
        self._may_fail = True

    async def listen(self, name: str) -> None:
        """Events of this type will come, which some clients want to know."""
        if "event-type-listeners" in self._service.capabilities:
            await self._command({"command": "listen", "listen": {"type": name}})

    async def restart(self) -> None:
        """Has it connect anew."""
        await self._command({"command": "restart"})

    async def close(self) -> None:
        """Has the service end it."""
        # A service that is gone has ended it.
        with suppress(OSError):
            status, _, _ = await self._service.request("DELETE", self._url)
            assert status // 100 == 2, f"DELETE of a client gives status {status}"

    async def _command(self, command: dict[str, Any]) -> None:
        status, _, body = await self._service.request("POST", self._url, command)
        if status // 100 != 2:
            raise ServiceError(f"{command} gives status {status}, {body!r}")


def _request(method: str, url: str, body: Any) -> tuple[int, str | None, bytes]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        sent = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, parts.path or "/", sent, headers)
        response = connection.getresponse()
        return response.status, response.getheader("Location"), response.read()
    finally:
        connection.close()
