"""Clients that behave as clients do: they leave in every way there is, stall, and come back with their last id."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from oracle import Expectation, PromiseError, Reads
from stream import Stream

# What a client does after some seconds of reading, and how often.
ENDS = {
    "stay": 30,
    "close": 14,
    "reset": 12,
    "half-close": 8,
    "before the head": 6,
    "half a request": 3,
    "stall": 14,
    "drip": 8,
    "nibble": 8,
    "abandon": 8,
    "junk": 6,
    "another tab": 5,
}
# What these come to must not disappear in the system's buffers.
SMALL = ("stall", "drip", "nibble", "abandon")


@dataclass
class Load:
    """What all clients have in common."""

    port: int
    handoffs: Sequence[str]
    # Nobody misbehaves any more.
    calm: asyncio.Event
    # When the server was last stopped or started: silence before that is no fault.
    disturbed: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    cuts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    async def wait(self, seconds: float, *others: asyncio.Future[None]) -> None:
        """Waits for so long, or until one of these is done, or everybody is to be calm."""
        calm = asyncio.create_task(self.calm.wait())
        waited: list[asyncio.Future[Any]] = [calm, *others]
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        calm.cancel()


class Client:
    """One client, with as many connections as it takes."""

    def __init__(self, number: int, load: Load, dice: random.Random) -> None:
        self.number = number
        self.seen = Expectation(_choose(dice))
        self.stream: Stream | None = None
        self.id = ""
        self._load = load
        self._dice = dice
        # Sockets that it has left lying.
        self._abandoned: list[tuple[float, asyncio.Transport]] = []
        handoff = dice.choice(load.handoffs)
        self._path = self._make_path(handoff)
        # A server that keeps the connection takes junk for a request, and may answer in the middle of the stream.
        self._ends = {end: n for end, n in ENDS.items() if end != "junk" or handoff == "detach"}

    def _make_path(self, handoff: str) -> str:
        reads = self.seen.reads
        # Some share a key, and are over its limit together.
        key = f"shared-{self.number % 3}" if self.number % 20 == 0 else f"client-{self.number}"
        query = {
            "topics": ",".join(sorted(reads.topics)),
            "slow": reads.slow,
            "key": key,
            "handoff": handoff,
        }
        if reads.rooms:
            query["pattern"] = "room.*"
        if reads.snapshot:
            query["snapshot"] = "1"
        return f"/events?{urlencode(query)}"

    def __str__(self) -> str:
        return f"client {self.number} ({self._path}) at {self.id or 'no id'}"

    async def live(self) -> None:
        """Connects again and again, until it is cancelled."""
        try:
            while True:
                try:
                    await self._connect()
                except PromiseError as violation:
                    self._load.violations.append(f"{self}: {violation}")
                    # With a clean slate: one fault is to be told once.
                    self.id = ""
                self._close_abandoned(time.monotonic())
                if self._load.calm.is_set():
                    await asyncio.sleep(self._dice.random())
                else:
                    await self._load.wait(self._pause())
        finally:
            self._close_abandoned(float("inf"))

    def _pause(self) -> float:
        # Most come back at once; some only when the history has moved on.
        return self._dice.choice((0, 0.02, 0.1, 0.5, 1, 3, 8)) * self._dice.random() * 2

    def _close_abandoned(self, now: float) -> None:
        for until, transport in self._abandoned:
            if until <= now:
                transport.abort()
        self._abandoned = [entry for entry in self._abandoned if entry[0] > now]

    async def _connect(self) -> None:
        end = self._dice.choices(list(self._ends), list(self._ends.values()))[0]
        if self._load.calm.is_set():
            end = "stay"
        if end == "another tab":
            self.id = ""
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        if end in SMALL or self._dice.random() < 0.3:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = self._request()
        if end == "half a request":
            request = request[: self._dice.randrange(len(request) - 1)]
        try:
            await loop.sock_connect(sock, ("127.0.0.1", self._load.port))
            self._load.counts["connections"] += 1
            self.seen.connect(self.id or None)
            stream = Stream(self.seen, self.id, self._load.counts)
            await loop.create_connection(lambda: stream, sock=sock)
        except OSError:
            # Between two servers there is nobody to connect to.
            self._load.counts["not connected"] += 1
            sock.close()
            await asyncio.sleep(0.2)
            return
        self.stream = stream
        try:
            stream.transport.write(request)
            await self._use(stream, end)
            if stream.over.done():
                stream.over.result()
        finally:
            self.stream = None
            self.id = stream.last_id
            if end == "junk":
                # Closing would wait until all of it is sent.
                stream.transport.abort()
            elif all(stream.transport is not left for _, left in self._abandoned):
                stream.transport.close()

    def _request(self) -> bytes:
        lines = [f"GET {self._path} HTTP/1.1", "Host: localhost", "Accept: text/event-stream"]
        if self.id:
            lines.append(f"Last-Event-ID: {self.id}")
        return "\r\n".join([*lines, "", ""]).encode()

    async def _use(self, stream: Stream, end: str) -> None:
        """Reads for a while, then does what it does. It reads to the end where that is calm."""
        if end in ("before the head", "half a request"):
            await self._load.wait(self._dice.choice((0, 0, 0.001, 0.01, 0.1)), stream.over)
        elif end != "nibble":
            await self._read(stream, None if end == "stay" else self._dice.expovariate(1 / 5))
        if stream.over.done():
            return
        self._load.cuts[end] += 1
        match end:
            case "reset" | "before the head" | "half a request":
                linger = struct.pack("ii", 1, 0)
                sock = stream.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            case "half-close":
                # One who has said goodbye is gone. What was under way still comes, then the end.
                stream.transport.write_eof()
                await self._read(stream, None)
            case "stall":
                stream.pause()
                await self._load.wait(self._dice.choice((0.5, 2, 5, 15, 35)))
                stream.resume()
                await self._read(stream, self._dice.expovariate(1 / 5))
            case "drip":
                await self._drip(stream, self._dice.expovariate(1 / 15))
            case "nibble":
                # From the first byte on, and not for long: it leaves in the middle of what a stream begins with.
                await self._drip(stream, self._dice.uniform(0, 2))
            case "abandon":
                # As a telephone does that changes its network: nobody is told.
                stream.pause()
                until = time.monotonic() + self._dice.uniform(5, 40)
                self._abandoned.append((until, stream.transport))
            case "junk":
                # Sooner, it would be the server's own parser that has to answer.
                await self._load.wait(1, stream.over)
                for _ in range(self._dice.randrange(1, 30)):
                    if stream.begun:
                        stream.transport.write(b"GET junk\r\n" * 100)
                        await self._load.wait(0.05, stream.over)
        if self._load.calm.is_set() and end in ("stall", "drip", "nibble", "junk"):
            await self._read(stream, None)

    async def _read(self, stream: Stream, seconds: float | None) -> None:
        if seconds is not None and not self._load.calm.is_set():
            await self._load.wait(seconds, stream.over)
        if seconds is None or self._load.calm.is_set():
            await asyncio.wait([stream.over])

    async def _drip(self, stream: Stream, seconds: float) -> None:
        """Takes a little at a time."""
        until = time.monotonic() + seconds
        stream.sip = 200
        while time.monotonic() < until and not stream.over.done() and not self._load.calm.is_set():
            stream.resume()
            await asyncio.sleep(0.05)
        stream.sip = 0
        stream.resume()


def _choose(dice: random.Random) -> Reads:
    names = ["none", "short", "mid", "long", "aged", "heavy", "keyed", "quiet"]
    return Reads(
        frozenset(dice.sample(names, dice.choice((1, 1, 2, 3, 4)))),
        rooms=dice.random() < 0.15,
        slow=dice.choice(("disconnect", "disconnect", "skip", "conflate")),
        snapshot=dice.random() < 0.2,
    )
