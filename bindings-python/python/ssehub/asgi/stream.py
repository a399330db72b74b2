"""What all streams of an ASGI server have in common: a request, and a client that may leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias, cast

from ssehub.http import Options, position

__all__ = [
    "Message",
    "Receive",
    "Scope",
    "Send",
    "Stream",
    "answer",
    "header",
    "last_event_id",
    "without_type",
]

logger = logging.getLogger("ssehub")

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


async def answer(send: Send, head: Message, body: bytes = b"") -> None:
    """Sends a response that is no stream."""
    await send(head)
    await send({"type": "http.response.body", "body": body, "more_body": False})


def header(scope: Scope, name: bytes) -> str | None:
    """A request header. UTF-8, as EventSource writes it; what is not is no id of ours either way."""
    for key, value in scope["headers"]:
        if key == name:
            return cast("bytes", value).decode("utf-8", "replace")
    return None


def last_event_id(scope: Scope) -> str:
    """The client's position: the header, else the query parameter."""
    return position(
        header(scope, b"last-event-id"), scope.get("query_string", b"").decode("latin-1")
    )


def without_type(head: Message) -> list[tuple[bytes, bytes]]:
    """The headers of a response that turned out to be no stream."""
    return [(name, value) for name, value in head["headers"] if name != b"content-type"]


class Stream:
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
