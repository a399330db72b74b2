"""The way of a WSGI stream's socket from its server to the engine."""

from __future__ import annotations

import _socket
import contextlib
import errno
import select
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ssehub._ssehub import Selector, Slot
from ssehub.handoff import gunicorn, waitress, werkzeug, wsgiref
from ssehub.handoff.asgi import EXTENSION
from ssehub.handoff.exchange import Exchange, Locals, Written, function_of
from ssehub.handoff.gunicorn import is_stopping
from ssehub.handoff.refusals import Refused
from ssehub.handoff.reports import Handed, Reporter

__all__ = [
    "Handover",
    "client_of",
    "cut_off",
    "has_left",
    "has_no_socket",
    "is_stopping",
    "take_error",
]

_SERVERS: dict[tuple[str, str], Callable[[Locals, dict[str, Any]], Exchange]] = {
    **dict.fromkeys(gunicorn.FUNCTIONS, gunicorn.Gunicorn),
    **dict.fromkeys(gunicorn.HTTP2_FUNCTIONS, gunicorn.refuse_http2),
    **dict.fromkeys(werkzeug.FUNCTIONS, werkzeug.Werkzeug),
    **dict.fromkeys(waitress.FUNCTIONS, waitress.Waitress),
    **dict.fromkeys(wsgiref.FUNCTIONS, wsgiref.Wsgiref),
}
_FUNCTIONS = set(_SERVERS)
# Errors beside Python's ConnectionError that say that a connection is gone. Any other says that it could not be looked at.
_GONE = {
    errno.EBADF,
    errno.ENOTSOCK,
    errno.ENOTCONN,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
}
# What is raised where a server is not made as expected.
_OTHERWISE = (AttributeError, KeyError, TypeError, ValueError)


class Handover:
    """One stream's move to the engine: prepared before the head goes out, done when the head has arrived.

    Raises:
        Refused: where the socket cannot be taken.
    """

    def __init__(self, environ: dict[str, Any], *, hold: bool) -> None:
        if sys.platform == "win32":
            raise Refused("platform")
        self.hold = hold
        self._exchange = _find(environ)
        self._written = Written()
        try:
            # Held, the server goes on to use its descriptor. Detached, it is to see nothing of the client any more.
            self._slot = Slot(dummy=not hold)
        except OSError as error:
            raise Refused("descriptors", str(error)) from error
        if not hold:
            try:
                self._exchange.end_connection()
            except _OTHERWISE as error:
                raise Refused("transport", repr(error)) from error

    def wrote(self, chunk: bytes) -> None:
        """The body has given its server one more piece."""
        self._written.add(chunk)

    def move(
        self, selector: Selector, token: int, reporter: Reporter, handed: Handed, *, snapshot: bool
    ) -> None:
        """Gives the stream to the engine, by way of the reporter.

        Raises:
            Refused: where what was written has not reached the socket as it is, or the socket is not to be had.
            FileNotFoundError: where the stream is over.
        """
        try:
            with self._exchange.quiet(self._written) as chunked:
                reporter.hand_off(
                    selector,
                    token,
                    self._slot,
                    self._exchange.socket.fileno(),
                    handed,
                    chunked=chunked,
                    hold=self.hold,
                    snapshot=snapshot,
                )
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Refused("error", str(error)) from error
        except _OTHERWISE as error:
            raise Refused("body", repr(error)) from error

    def give_up(self) -> None:
        """The stream stays with its server."""
        self._slot.close()


def has_no_socket(environ: dict[str, Any]) -> bool:
    """Whether the application is called without any server, and says so: nothing is to be taken there."""
    return EXTENSION in environ and environ[EXTENSION] is None


def _find(environ: dict[str, Any]) -> Exchange:
    """The request's server, by the innermost function of a known one that is being called."""
    found = function_of(_FUNCTIONS)
    if found is None:
        raise Refused("transport", str(environ.get("SERVER_SOFTWARE", "")))
    name, function = found
    try:
        return _SERVERS[name](function, environ)
    except _OTHERWISE as error:
        raise Refused("transport", repr(error)) from error


def client_of(environ: dict[str, Any]) -> Any | None:
    """The client's socket, as far as the server shows it. To be asked for where the application is called."""
    sock = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if sock is not None:
        return sock
    try:
        return _find(environ).socket
    except Refused:
        return None


def cut_off(client: Any | None) -> None:
    """Ends a client's connection under the server's hands."""
    with _duplicate(client) as sock:
        if sock is not None:
            _take_error(sock)
            sock.shutdown(socket.SHUT_RDWR)


def take_error(client: Any | None) -> None:
    """What the engine's patience with a client has come to is no news to the server, which would log it.

    It fails to send the end of the response all the same, as it does to each client that has left.
    """
    with contextlib.suppress(OSError, ValueError), _duplicate(client) as sock:
        if sock is not None:
            _take_error(sock)


def _take_error(sock: _socket.socket) -> None:
    """The error that a connection has ended with is told once, to whoever comes first."""
    sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def has_left(client: Any | None) -> bool:
    """Whether a client has closed its side, as far as that is to be seen. A look that fails says nothing of it."""
    try:
        with _duplicate(client) as sock:
            return sock is not None and _peek(sock) == b""
    except OSError as error:
        return isinstance(error, ConnectionError) or error.errno in _GONE
    except (AttributeError, TypeError, ValueError):
        # No socket as it is known here.
        return False


def _peek(sock: _socket.socket) -> bytes | None:
    """The next byte, without waiting; nothing at the end; None where there is none yet."""
    flags = socket.MSG_PEEK
    if hasattr(socket, "MSG_DONTWAIT"):
        flags |= socket.MSG_DONTWAIT
    elif not select.select([sock], [], [], 0)[0]:
        # Windows has no such flag, and its select() is not bound to small numbers.
        return None
    try:
        return sock.recv(1, flags)
    except BlockingIOError:
        return None


@contextlib.contextmanager
def _duplicate(client: Any | None) -> Iterator[_socket.socket | None]:
    """A raw socket of our own: gevent's would wait where nothing here must. OSError where it is gone."""
    descriptor = -1 if client is None else client.fileno()
    # Closed here, or no socket at all: nothing to be seen of the client.
    if descriptor < 0:
        yield None
        return
    # Not os.dup(): on Windows a socket is none of its descriptors.
    with contextlib.closing(_socket.socket(fileno=_socket.dup(descriptor))) as sock:
        yield sock
