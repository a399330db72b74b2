"""An HTTP server that does with each connection what a test says, down to the byte."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from support import SOON

EVENT_STREAM = {"Content-Type": "text/event-stream"}


@dataclass
class Peer:
    """One connection: what was asked, and the means to answer."""

    socket: socket.socket
    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def read_request(self) -> bool:
        """Reads a request; False where the other end leaves instead."""
        raw = b""
        while b"\r\n\r\n" not in raw:
            piece = self.socket.recv(65536)
            if not piece:
                return False
            raw += piece
        head, _, self.body = raw.partition(b"\r\n\r\n")
        # UTF-8, as the client sends it.
        first, *lines = head.decode().split("\r\n")
        self.method, self.path, _ = first.split(" ")
        self.headers = dict(_field(line) for line in lines)
        while len(self.body) < int(self.headers.get("content-length", "0")):
            self.body += self.socket.recv(65536)
        return True

    def head(self, status: int = 200, headers: Mapping[str, str] = EVENT_STREAM) -> None:
        """The head of a response that ends with the connection, unless it has a length."""
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {headers[name]}" for name in headers)]
        self.send("\r\n".join([*lines, "", ""]))

    def send(self, text: str | bytes) -> None:
        """Bytes as they are."""
        self.socket.sendall(text.encode() if isinstance(text, str) else text)

    def reset(self) -> None:
        """Breaks the connection off."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def stay(self) -> None:
        """Waits until the client has left."""
        with suppress(ConnectionError):
            assert self.socket.recv(1) == b""


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name.lower(), value


Scene: TypeAlias = Callable[[Peer], None]


def stream(*pieces: str | bytes, end: bool = True, **headers: str) -> Scene:
    """Answers with a stream. It ends in an orderly way, or is open for as long as the client wants."""
    body = b"".join(piece.encode() if isinstance(piece, str) else piece for piece in pieces)
    more = {name.replace("_", "-"): value for name, value in headers.items()}

    def play(peer: Peer) -> None:
        length = {"Content-Length": str(len(body))} if end else {}
        peer.head(200, {**EVENT_STREAM, **more, **length})
        peer.send(body)
        if not end:
            peer.stay()

    return play


def answer(status: int, body: str | bytes = b"", **headers: str) -> Scene:
    """Answers with something else."""
    data = body.encode() if isinstance(body, str) else body
    more = {name.replace("_", "-"): value for name, value in headers.items()}

    def play(peer: Peer) -> None:
        peer.head(status, {"Content-Length": str(len(data)), **more})
        peer.send(data)

    return play


def cut(*pieces: str) -> Scene:
    """A stream that breaks off."""

    def play(peer: Peer) -> None:
        peer.head(200, {**EVENT_STREAM, "Content-Length": "1000000"})
        peer.send("".join(pieces))

    return play


class Script:
    """The server: one scene per connection; the last one again and again."""

    def __init__(self, url: str, scenes: tuple[Scene, ...]) -> None:
        self.url = url
        self.peers: list[Peer] = []
        self.errors: list[BaseException] = []
        self._scenes = scenes

    def play(self, sock: socket.socket) -> None:
        """Plays the next scene."""
        sock.settimeout(SOON)
        peer = Peer(sock)
        try:
            with sock:
                if peer.read_request():
                    number = len(self.peers)
                    self.peers.append(peer)
                    self._scenes[min(number, len(self._scenes) - 1)](peer)
        except (ConnectionError, ssl.SSLError):
            pass  # The client may leave whenever it likes.
        except BaseException as error:  # noqa: BLE001 - raised again at the end
            self.errors.append(error)

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [peer.path for peer in self.peers]

    def sent(self, name: str) -> list[str | None]:
        """A header field of each request."""
        return [peer.headers.get(name) for peer in self.peers]


@contextmanager
def scripted(
    *scenes: Scene, tls: ssl.SSLContext | None = None, unix: str | None = None
) -> Iterator[Script]:
    """Runs a server on the loopback address, or on a Unix socket. Each connection has a thread."""
    if unix is None:
        listener = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if tls is None else "https"
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/events"
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(unix)
        listener.listen()
        url = "http://localhost/events"
    script = Script(url, scenes)

    def serve() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return  # The test is over.
            threading.Thread(target=one, args=(accepted,), daemon=True).start()

    def one(accepted: socket.socket) -> None:
        try:
            sock = accepted if tls is None else tls.wrap_socket(accepted, server_side=True)
        except (OSError, ssl.SSLError):
            accepted.close()  # A client that does not trust us.
            return
        script.play(sock)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        # Wakes `accept`, which closing does not.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(SOON)
    if script.errors:
        raise script.errors[0]
