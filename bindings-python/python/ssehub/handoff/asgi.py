"""Takes the client's socket from an ASGI server.

Nothing is taken on trust. While the head and the first bytes of the body go out, a recorder stands in the place of the
transport that the server writes through. Only when exactly those bytes have gone by, in a framing that the engine can
go on with, and the socket has taken all of them, is the connection the engine's to have.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from operator import index
from typing import Any

from ssehub import _ssehub
from ssehub.handoff.refusals import Refused
from ssehub.handoff.transports import Holder, find_holder, has_read_request

__all__ = ["EXTENSION", "PATIENCE", "Taking", "cut_off", "find_transport", "has_no_socket"]

# Where a server may offer an object that writes this response through its `transport`. None: there is no server.
EXTENSION = "ssehub.transport"

# Seconds until what was sent must have reached the socket. Long, since a loop that accepts thousands of clients at once
# is slow to come round; whoever waits for it misses nothing, and gets what is published meanwhile in one piece.
PATIENCE = 5.0
# Between two looks at a write buffer that is not empty yet, in seconds: transports have no event for that.
_SHORTEST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.05

# Heads of interim responses, then the head itself.
_HEAD = re.compile(rb"(?:HTTP/1\.1 1\d\d.*?\r\n\r\n)*HTTP/1\.[01] [2-5].*?\r\n\r\n", re.DOTALL)


def has_no_socket(scope: Any) -> bool:
    """Whether the application is called without any server, and says so: nothing is to be taken there."""
    return _offered(scope, _NOTHING) is None


def find_transport(scope: Any, receive: Any, send: Any) -> asyncio.Transport | None:
    """The server's transport, whether or not it is being watched; None where it is out of reach."""
    holder = _holder(scope, receive, send)
    found = None if holder is None else holder.transport
    return found.transport if isinstance(found, _Recorder) else found


# In the place of what is not there.
_NOTHING = object()


def _offered(scope: Any, default: Any = None) -> Any:
    extensions = scope.get("extensions")
    return extensions.get(EXTENSION, default) if isinstance(extensions, Mapping) else default


def cut_off(scope: Any, receive: Any, send: Any) -> None:
    """Ends a client's connection under the server's hands, where it is in reach."""
    with suppress(Exception):
        transport = find_transport(scope, receive, send)
        if transport is not None:
            transport.abort()


def _holder(scope: Any, receive: Any, send: Any) -> Holder | None:
    offered = _offered(scope)
    return Holder(offered, "transport") if offered else find_holder(receive, send)


class Taking:
    """One attempt to take a socket. As a context manager it watches the server; outside, nothing of it is left there.

    Raises Refused where the socket cannot be taken.
    """

    __slots__ = ("_holder", "_recorder", "chunked", "slot", "transport")

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        if os.name != "posix":
            raise Refused("platform")
        if scope.get("http_version") not in ("1.0", "1.1"):
            raise Refused("http2")
        with _refusing():
            self._holder, self.transport = _look(scope, receive, send)
        self._recorder = _Recorder(self.transport)
        # Known once the head has been seen.
        self.chunked: bool | None = None
        try:
            # Before the head goes out: later there would be no way back.
            self.slot = _ssehub.Slot()
        except OSError as error:
            raise Refused("descriptors", str(error)) from error
        try:
            with _refusing():
                self._watch()
        except Refused:
            self._end()
            raise

    def _watch(self) -> None:
        """What cannot be replaced must be known before the head goes out, too."""
        self._holder.transport = self._recorder
        if self._holder.transport is not self._recorder:
            raise Refused("transport", "it cannot be replaced")

    def __enter__(self) -> Taking:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._recorder.stop()
        with suppress(Exception):
            # Where the server has no use for its transport any more, it may say so. The recorder does no harm.
            if self._holder.transport is self._recorder:
                self._holder.transport = self.transport
        # It is empty where the socket was taken.
        self.slot.close()

    def fileno(self) -> int:
        """The server's descriptor."""
        with _refusing():
            return index(self.transport.get_extra_info("socket").fileno())

    def let_go(self) -> None:
        """Closes the server's descriptor, and not the connection."""
        with suppress(Exception):
            self.transport.close()

    def cut(self) -> None:
        """Ends the connection."""
        with suppress(Exception):
            self.transport.abort()

    async def prove(self, body: bytes) -> None:
        """Waits until exactly this, the next part of the body, has reached the socket."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while not self._has_written(body):
            if not await self._recorder.more(deadline - loop.time()):
                raise Refused("buffered")
        pause = _SHORTEST_PAUSE
        while self._is_buffered():
            if loop.time() > deadline:
                raise Refused("buffered")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        with _refusing():
            has_left = self.transport.is_closing()
        if has_left:
            # The client has left. The server is about to say so, which ends this wait.
            await asyncio.sleep(PATIENCE)
            raise ConnectionResetError("the client has left")

    def _is_buffered(self) -> bool:
        with _refusing():
            return self.transport.get_write_buffer_size() > 0

    def _has_written(self, body: bytes) -> bool:
        written = self._recorder.written()
        if written is None:
            raise Refused("body", "what is no bytes")
        if self.chunked is None:
            head = _HEAD.match(written)
            if head is None:
                return False
            self.chunked = _is_chunked(head.group())
            written = written[head.end() :]
            self._recorder.restart(written)
        expected = b"%x\r\n%b\r\n" % (len(body), body) if self.chunked else body
        if written == expected:
            self._recorder.restart(b"")
            return True
        if expected.startswith(written):
            return False
        raise Refused("body")


@contextmanager
def _refusing() -> Iterator[None]:
    """Around whatever touches objects of the server's, or of those that stand before it: they may raise anything."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        raise Refused("transport", repr(error)) from error


def _look(scope: Any, receive: Any, send: Any) -> tuple[Holder, asyncio.Transport]:
    """The transport that can be taken, and what has it."""
    holder = _holder(scope, receive, send)
    transport = None if holder is None else holder.transport
    if holder is None or transport is None:
        raise Refused("transport")
    if transport.get_extra_info("ssl_object") is not None:
        raise Refused("tls")
    if transport.get_extra_info("socket") is None:
        raise Refused("transport")
    if _has_body(scope["headers"]) and not has_read_request(_offered(scope), receive, send):
        raise Refused("method")
    return holder, transport


def _has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request announces a body."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 ") != b"")
        for name, value in headers
    )


def _is_chunked(head: bytes) -> bool:
    """How the body is framed. Refused where the engine cannot go on in that way."""
    chunked = False
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        value = value.strip()
        if name == b"transfer-encoding" and value == b"chunked":
            chunked = True
        elif name in (b"content-length", b"transfer-encoding") or (
            name == b"content-encoding" and value != b"identity"
        ):
            raise Refused("body", line.decode("latin-1"))
    return chunked


class _Recorder:
    """In the place of a server's transport: writes, and remembers what. All else is the transport's."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        # None: nobody looks any more, or it could not be kept.
        self._chunks: list[bytes] | None = []
        self._waiter: asyncio.Future[None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.transport.write(data)
        self._note(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        parts = list(list_of_data)
        self.transport.writelines(parts)
        self._note(*parts)

    def _note(self, *chunks: bytes | bytearray | memoryview) -> None:
        if self._chunks is not None:
            try:
                self._chunks += [bytes(memoryview(chunk)) for chunk in chunks]
            except Exception:  # noqa: BLE001 - whatever it is, it is no bytes
                self._chunks = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def written(self) -> bytes | None:
        """Everything since the last restart; None where that is not known."""
        return None if self._chunks is None else b"".join(self._chunks)

    def restart(self, written: bytes) -> None:
        """Forgets what has been looked at, but for what is given."""
        self._chunks = [written]

    def stop(self) -> None:
        """Remembers nothing from now on: a server may have kept it."""
        self._chunks = None

    async def more(self, timeout: float) -> bool:
        """Waits for more to be written. False where nothing is in time."""
        self._waiter = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._waiter], timeout=max(timeout, 0))
        return self._waiter.done()
