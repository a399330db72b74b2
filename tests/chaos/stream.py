"""What comes on one connection, taken apart and brought before the oracle."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter

from oracle import Expectation, PromiseError
from wire import Response

from ssehub import Parser

# A stream sends a comment after two seconds of silence, so one that is silent for so long is stuck.
SILENT = 15.0
# Nothing takes a server that long but its end.
NO_ANSWER = 20.0

_POSITION = re.compile(rb"retry: \d+\nid: ([0-9a-f]{16}-\d+)\n\n")
_REFUSED = re.compile(rb"retry: \d+\n\n")
_BEGIN = re.compile(rb"retry: \d+\n(?=[a-z])")
# Emptied at once by whoever was told of it.
_buffer = bytearray(1 << 16)


class Stream(asyncio.BufferedProtocol):
    """One response. `over` is done when it is: with what was wrong, if anything was."""

    transport: asyncio.Transport

    def __init__(self, seen: Expectation, last_id: str, counts: Counter[str]) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # How much is read at a time, and nothing more until it is resumed. 0: all there is.
        self.sip = 0
        self._seen = seen
        self._counts = counts
        self._response = Response()
        self._parser = Parser()
        # The first block, which may come in pieces. None: it has come.
        self._first: bytes | None = b""
        self._refused = False
        self._came_with = last_id
        self._heard = time.monotonic()
        self._listening = True

    @property
    def begun(self) -> bool:
        """Whether events may come."""
        return self._first is None and not self.over.done()

    @property
    def last_id(self) -> str:
        """The id to come back with."""
        return self._parser.last_event_id or self._came_with

    def pause(self) -> None:
        """Reads nothing for a while."""
        self._listening = False
        self.transport.pause_reading()

    def resume(self) -> None:
        """Reads on."""
        if not self.over.done():
            self._listening = True
            self._heard = time.monotonic()
            self.transport.resume_reading()

    def check_silence(self, disturbed: float) -> None:
        """Whether it is stuck. What is not heard since then may be for another reason."""
        silent = time.monotonic() - max(self._heard, disturbed)
        if self.over.done() or not self._listening:
            return
        if not self._response.begun and silent > NO_ANSWER:
            self._stop(PromiseError(f"no answer within {NO_ANSWER} s"))
        elif self._response.begun and silent > SILENT:
            self._stop(PromiseError(f"nothing came for {silent:.0f} s, not even a comment"))

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(_buffer)[: self.sip or len(_buffer)]

    def buffer_updated(self, nbytes: int) -> None:
        if self.over.done():
            return
        if self.sip:
            self.pause()
        now = self._heard = time.monotonic()
        try:
            self._take(self._response.feed(bytes(_buffer[:nbytes])), now)
        except PromiseError as violation:
            self._stop(violation)
        else:
            if self._response.complete:
                self._ended()

    def eof_received(self) -> bool:
        self._ended()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()

    def _ended(self) -> None:
        if self.over.done():
            return
        if not self._response.begun:
            self._counts["ended before the head"] += 1
        else:
            clean = self._response.end()
            self._counts["ended properly" if clean else "ended in the middle"] += 1
        self._stop(None)

    def _stop(self, violation: PromiseError | None) -> None:
        if violation is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(violation)
        self.transport.close()

    # What the bytes say.

    def _take(self, body: bytes, now: float) -> None:
        if self._response.begun and self._response.status != 200:
            raise PromiseError(f"status {self._response.status}")
        if self._first is not None:
            body = self._open(self._first + body)
        if body and self._refused:
            raise PromiseError(f"refused, and then {body[:80]!r}")
        for event in self._parser.feed(body) if body else ():
            # What has no id leaves the client's as it was.
            kind, id = event.event or "", event.id or self._came_with
            self._seen.event(kind, id, event.data or "", now)
            self._counts["events"] += 1
            if kind != "bye" and id != self._seen.last:
                raise PromiseError(f"{id} comes, and {self._seen.last} is where it is")

    def _open(self, body: bytes) -> bytes:
        """Judges the first block. What is left to be parsed."""
        if b"\n\n" not in body:
            self._first = body
            return b""
        self._first = None
        if found := _POSITION.match(body):
            self._seen.open(found[1].decode())
            self._parser.feed(found[0])
            return body[found.end() :]
        if found := _REFUSED.match(body):
            # The hub drains, or a limit is reached.
            self._refused = True
            self._counts["refused"] += 1
            return body[found.end() :]
        if not _BEGIN.match(body):
            raise PromiseError(f"not an opening block: {body[:80]!r}")
        self._seen.open(None)
        return body
