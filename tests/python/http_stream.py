"""A client that sees what is on the wire: raw HTTP/1, the chunked coding, and how a body ends."""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from ssehub import Event, Parser
from support import SOON

Address = tuple[str, int] | str
"""A host and port, or the path of a unix socket."""


class Wire:
    """One request and its response. Ends by `close`, or as a context manager."""

    def __init__(
        self,
        address: Address,
        path: str = "/events",
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        version: str = "1.1",
    ) -> None:
        kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(kind, socket.SOCK_STREAM)
        self._raw = bytearray()
        try:
            self._ask(address, path, method, headers or {}, body, version)
        except BaseException:
            self.socket.close()
            raise
        self._parser = Parser()
        self._events: deque[Event] = deque()
        self.body = bytearray()
        # Whether the body has ended, and whether as the protocol says.
        self.ended = False
        self.clean = False
        head, _, rest = bytes(self._raw).partition(b"\r\n\r\n")
        self._raw = bytearray(rest)
        status, *fields = head.decode("latin-1").split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {
            name.lower(): value for name, value in (field.split(": ", 1) for field in fields)
        }
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "")
        self._length = (
            int(self.headers["content-length"]) if "content-length" in self.headers else None
        )
        self._take()

    def _ask(
        self,
        address: Address,
        path: str,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        version: str,
    ) -> None:
        """Sends the request, and waits for the head of the response."""
        self.socket.settimeout(SOON)
        self.socket.connect(address)
        lines = [f"{method} {path} HTTP/{version}", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        while b"\r\n\r\n" not in self._raw:
            if not self._read():
                raise ConnectionError(f"no response: {bytes(self._raw)!r}")

    def _read(self) -> bytes:
        data = self.socket.recv(65536)
        self._raw += data
        return data

    def _take(self) -> None:
        """Moves what is complete from the wire to the body."""
        if not self._chunked:
            self._got(bytes(self._raw))
            self._raw.clear()
            if self._length is not None and len(self.body) >= self._length:
                self.ended = self.clean = True
            return
        while True:
            size, found, rest = bytes(self._raw).partition(b"\r\n")
            length = int(size, 16) if found else 0
            if not found or len(rest) < length + 2:
                return
            self._got(rest[:length])
            self._raw = bytearray(rest[length + 2 :])
            if length == 0:
                self.ended = self.clean = True
                return

    def _got(self, data: bytes) -> None:
        self.body += data
        self._events.extend(self._parser.feed(data))

    def _advance(self, timeout: float) -> None:
        self.socket.settimeout(max(timeout, 0.001))
        try:
            data = self._read()
        except ConnectionResetError:
            data = b""
        if data:
            self._take()
            return
        self.ended = True
        # Without a length the end of the connection is the end of the body.
        self.clean = not self._chunked and self._length is None

    def next(self, timeout: float = SOON) -> Event:
        """The next event; EOFError at the end, TimeoutError where none comes in time."""
        deadline = time.monotonic() + timeout
        while not self._events:
            if self.ended:
                raise EOFError(bytes(self.body))
            self._advance(deadline - time.monotonic())
        return self._events.popleft()

    def until_body(self, part: bytes, timeout: float = SOON) -> None:
        """Waits until the body has something."""
        deadline = time.monotonic() + timeout
        while part not in self.body:
            if self.ended:
                raise EOFError(bytes(self.body))
            self._advance(deadline - time.monotonic())

    def wait_end(self, timeout: float = SOON) -> bool:
        """Reads to the end. Whether that was as the protocol says."""
        deadline = time.monotonic() + timeout
        while not self.ended:
            self._advance(deadline - time.monotonic())
        return self.clean

    @property
    def last_event_id(self) -> str:
        return self._parser.last_event_id

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def status_of(address: tuple[str, int], path: str) -> int:
    """The response's status, of which the head may be broken: gunicorn's error pages' are, on Python 3.14."""
    with socket.create_connection(address, timeout=SOON) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("latin-1"))
        with client.makefile("rb") as answer:
            return int(answer.readline().split()[1])


def post(address: Address, data: str, path: str = "/publish") -> str:
    """Publishes by way of a test application; the id."""
    with Wire(
        address, path, method="POST", body=data.encode(), headers={"Connection": "close"}
    ) as wire:
        wire.wait_end()
        assert wire.status == 200, bytes(wire.body)
        return wire.body.decode()


def stats(address: Address) -> dict[str, Any]:
    """The statistics of a test application."""
    with Wire(address, "/stats", headers={"Connection": "close"}) as wire:
        wire.wait_end()
        assert wire.status == 200, bytes(wire.body)
        found: dict[str, Any] = json.loads(wire.body)
        return found
