"""What a WSGI server shows of one request: the client's socket, and what has been written to it.

Servers say neither to applications. Their own frames do, though: they are on the stack below the application, with all
that the server knows of the connection, however many middlewares have wrapped the application's arguments.
"""

from __future__ import annotations

import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeAlias

from ssehub.handoff.refusals import Refused

__all__ = ["Exchange", "Locals", "Written", "function_of", "plain_socket", "variables_of"]

Locals: TypeAlias = Mapping[str, Any]
"""The variables of a frame."""

# Whose sockets are known to let go of a descriptor.
_LIBRARIES = ("socket", "gevent")
_FAMILIES = [getattr(socket, name, None) for name in ("AF_INET", "AF_INET6", "AF_UNIX")]


@dataclass(slots=True)
class Written:
    """What a body has given to its server so far."""

    first: int = 0
    total: int = 0
    last: bytes = b""

    def add(self, chunk: bytes) -> None:
        """One more piece."""
        self.first = self.first or len(chunk)
        self.total += len(chunk)
        self.last = chunk


class Exchange(ABC):
    """One request, as the server that serves it has it."""

    socket: Any
    """The client's."""

    def end_connection(self) -> None:  # noqa: B027 - most servers do by themselves
        """Has the head say that the connection ends with this response. To be called before the head."""

    @abstractmethod
    def framing(self, written: Written) -> bool:
        """Whether the body is in chunks: False where the end of the connection is its end.

        Raises:
            Refused: unless the server's own state says that the head and exactly what the body has given have been
                written. A middleware that reads ahead, joins, replaces or compresses pieces shows here.
            KeyError: likewise.
        """

    @contextmanager
    def quiet(self, written: Written) -> Iterator[bool]:
        """While nobody else writes to the socket or closes it: gives what `framing` says."""
        yield self.framing(written)


def function_of(names: set[tuple[str, str]]) -> tuple[tuple[str, str], Locals] | None:
    """The innermost caller among functions that are given as (module, name), and its variables."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = (frame.f_globals.get("__name__", ""), frame.f_code.co_name)
        if name in names:
            return name, frame.f_locals
        frame = frame.f_back
    return None


def variables_of(names: set[tuple[str, str]]) -> Locals:
    """The variables of that caller; none where there is none."""
    found = function_of(names)
    return {} if found is None else found[1]


def plain_socket(sock: Any) -> Any:
    """A socket whose bytes are the client's bytes. `Refused` otherwise."""
    if hasattr(sock, "getpeercert"):
        raise Refused("tls")
    kind = type(sock)
    if (
        kind.__module__.partition(".")[0] not in _LIBRARIES
        or sock.family not in _FAMILIES
        or sock.type != socket.SOCK_STREAM
    ):
        raise Refused("transport", f"a {kind.__module__}.{kind.__name__}, {sock.family!r}")
    return sock
