"""What behaviours are, and what they play on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from client import Client, Service
from endpoints import Exchange, Server, Streams

HELLO = "data: Hello\n\n"


@dataclass
class Stage:
    """What a behaviour plays on: a service, and a server for its clients."""

    service: Service
    server: Server
    ends: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def client(self, url: str, **options: Any) -> Client:
        """A client of some address."""
        client = await self.service.client(self.server.callbacks(), url, **options)
        self.ends.push_async_callback(client.close)
        return client

    async def connected(self, **options: Any) -> tuple[Streams, Exchange, Client]:
        """A client with an open stream."""
        streams = self.server.streams()
        client = await self.client(streams.url, **options)
        stream = await streams.connection()
        return streams, stream, client


Play = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Behaviour:
    """One thing that a client does."""

    name: str
    play: Play
    needs: str | None = None
    """The capability without which nobody expects it."""


BEHAVIOURS: list[Behaviour] = []


def behaviour(name: str, *, needs: str | None = None) -> Callable[[Play], Play]:
    """Adds a function to the list."""

    def add(play: Play) -> Play:
        BEHAVIOURS.append(Behaviour(name, play, needs))
        return play

    return add
