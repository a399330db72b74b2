"""Clients that are no good, and crowds of those that are."""

from __future__ import annotations

import re
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from http_stream import Address

# The least that the system gives: what a client does not read is soon in the server's way.
SMALL = 4096
NUMBER = re.compile(rb"\ndata: (\d+)")


def connect(
    address: Address, path: str = "/events", *, small: bool = False, last_event_id: str = ""
) -> socket.socket:
    """A client that has asked for a stream, and read nothing yet."""
    sock = socket.socket()
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    sock.settimeout(10)
    sock.connect(address)
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Accept: text/event-stream"]
    if last_event_id:
        lines.append(f"Last-Event-ID: {last_event_id}")
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    return sock


def read_until(sock: socket.socket, what: bytes, most: int = 4096) -> bytes:
    """Reads until something has come, or to the end."""
    came = b""
    while what not in came:
        data = sock.recv(most)
        if not data:
            break
        came += data
    return came


def reset(sock: socket.socket) -> None:
    """Leaves without a word: what it still gets is answered with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def is_over(sock: socket.socket, timeout: float = 10) -> bool:
    """Whether the connection ends within this time. What comes before is of no interest."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        sock.settimeout(max(deadline - time.monotonic(), 0.01))
        try:
            if not sock.recv(65536):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


@contextmanager
def babbling(sock: socket.socket) -> Iterator[list[int]]:
    """Sends junk for as long as it gets rid of it. How many bytes."""
    sent = [0]
    stopping = threading.Event()

    def babble() -> None:
        junk = b"GET /nonsense\x00\xff\r\n\r\n" * 500
        sock.settimeout(1)
        while not stopping.is_set():
            try:
                sent[0] += sock.send(junk)
            except TimeoutError:
                continue
            except OSError:
                return

    thread = threading.Thread(target=babble, daemon=True)
    thread.start()
    try:
        yield sent
    finally:
        stopping.set()
        thread.join()


class Crowd:
    """Readers by the hundred, in one thread. Each notes the numbers that come as data, and whether one is out of order."""

    def __init__(self, socks: list[socket.socket]) -> None:
        self._tails = dict.fromkeys(socks, b"")
        self._last = dict.fromkeys(socks, -1)
        self.wrong: list[str] = []
        self._selector = selectors.DefaultSelector()
        for sock in socks:
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._selector.close()
        for sock in self._tails:
            sock.close()

    def have(self, number: int) -> int:
        """How many have come to this number."""
        return sum(last >= number for last in self._last.values())

    def _read(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(0.2):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                data = sock.recv(1 << 18)
                if not data:
                    self.wrong.append(f"the end after {self._last[sock]}")
                    self._selector.unregister(sock)
                self._take(sock, data)

    def _take(self, sock: socket.socket, data: bytes) -> None:
        text = self._tails[sock] + data
        end = 0
        for found in NUMBER.finditer(text):
            # Its last digit may still be under way.
            if found.end() == len(text):
                break
            end = found.end()
            if int(found[1]) != self._last[sock] + 1:
                self.wrong.append(f"{found[1].decode()} after {self._last[sock]}")
            self._last[sock] = int(found[1])
        self._tails[sock] = text[max(end, len(text) - 64) :]
