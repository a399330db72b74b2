"""Looking whether a WSGI server's client has left: a look that fails is no answer, least of all "yes"."""

from __future__ import annotations

import _socket
import errno
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from ssehub.handoff.wsgi import cut_off, has_left, take_error
from support import SOON

GONE = [
    "EBADF",
    "ENOTSOCK",
    "ENOTCONN",
    "EPIPE",
    "ESHUTDOWN",
    "ECONNABORTED",
    "ECONNRESET",
    "ETIMEDOUT",
]
OTHER = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EINVAL", "EOPNOTSUPP", "EACCES", "EPERM"]


@pytest.fixture(params=["posix", "windows"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Windows as far as it matters: sockets are no descriptors, and a flag is not there."""
    if request.param == "windows":
        monkeypatch.setattr(os, "dup", _no_descriptor)
        monkeypatch.delattr(socket, "MSG_DONTWAIT")
    return str(request.param)


def _no_descriptor(_: int) -> int:
    raise OSError(errno.EBADF, "Bad file descriptor")


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's end and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=SOON)
        server, _ = listener.accept()
    with server, client:
        yield server, client


def _wait_for_input(sock: socket.socket) -> None:
    """Until there is something to be read, be it the end."""
    sock.settimeout(SOON)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except OSError:
        return


def test_a_client_that_is_there(system: str, connection: tuple[socket.socket, Any]) -> None:
    server, client = connection
    assert not has_left(server)
    client.sendall(b"x")
    _wait_for_input(server)
    assert not has_left(server)
    assert server.recv(10) == b"x", "a look takes nothing"


def test_a_client_that_has_left(system: str, connection: tuple[socket.socket, Any]) -> None:
    server, client = connection
    client.close()
    _wait_for_input(server)
    assert has_left(server)


def test_a_client_that_has_reset(system: str, connection: tuple[socket.socket, Any]) -> None:
    server, client = connection
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    # Not by a look, which would take the error.
    poller = select.poll()
    poller.register(server)
    while not has_left(server):
        poller.poll(SOON)


def test_a_client_is_cut_off(system: str, connection: tuple[socket.socket, Any]) -> None:
    server, client = connection
    cut_off(server)
    assert client.recv(10) == b""


@pytest.mark.parametrize("take", [take_error, cut_off])
def test_how_a_connection_has_ended_is_no_news_to_the_server(
    take: Callable[[Any], None], connection: tuple[socket.socket, Any]
) -> None:
    """A server takes EPIPE for a client that has left. What the system says at first, it may log: a timeout, say."""
    server, client = connection
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    poller = select.poll()
    poller.register(server, 0)
    assert poller.poll(SOON * 1000)
    with suppress(OSError):
        take(server)
    with pytest.raises(BrokenPipeError):
        server.send(b"x")


class Client:
    """A socket that cannot be looked at, for a reason."""

    def __init__(self, reason: Exception) -> None:
        self.reason = reason

    def fileno(self) -> int:
        raise self.reason


@pytest.mark.parametrize("name", GONE)
def test_what_says_that_the_connection_is_gone(name: str) -> None:
    assert has_left(Client(OSError(getattr(errno, name), name)))


def test_a_connection_error_needs_no_number() -> None:
    assert has_left(Client(ConnectionResetError("by peer")))
    assert not has_left(Client(OSError("something")))


@pytest.mark.parametrize("name", OTHER)
def test_what_says_nothing_of_the_connection(name: str) -> None:
    assert not has_left(Client(OSError(getattr(errno, name), name)))


@pytest.mark.parametrize("client", [None, object(), Client(ValueError()), Client(TypeError())])
def test_what_is_no_socket(client: object) -> None:
    assert not has_left(client)


def test_without_descriptors_everybody_is_still_there(
    connection: tuple[socket.socket, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(_socket, "dup", none_left)
    assert not has_left(connection[0])


def test_a_socket_that_the_server_has_closed(connection: tuple[socket.socket, Any]) -> None:
    """Nothing to be seen of the client there; one whose number is gone under it is closed, too."""
    server, _ = connection
    number = server.fileno()
    os.close(number)
    assert has_left(server)
    server.detach()
    assert not has_left(server)
