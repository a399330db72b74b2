"""A source's settings: frozen, typed, and turned into the plain values that the native module takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ssehub.errors import ArgumentError
from ssehub.options import milliseconds, whole

__all__ = ["Cert", "Reconnect", "Redirects", "Verify"]

Verify: TypeAlias = "bool | str | os.PathLike[str] | bytes"
"""Whom to trust: the system's certificates (True), those of a PEM file or of PEM bytes, or anybody (False)."""

Cert: TypeAlias = (
    "str | os.PathLike[str] | bytes | tuple[str | os.PathLike[str], str | os.PathLike[str]]"
)
"""Our own certificate and its key: a PEM file with both, PEM bytes, or the files of the one and the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """Whether, when and how often to reconnect. Times are in seconds.

    Each delay is drawn from 0.1 s (or a tenth of the limit) to a limit that doubles with each try in a row ("full
    jitter"), so that clients that lost the same server do not all come back at once. Where the server names a time, by
    `retry:` or Retry-After, that is the least delay.

    Attributes:
        when: After what. "always": errors and orderly ends. "error": errors only. "never". "get": always for GET, never
            for other methods, since whether an order may be given twice is for you to say.
        first: Whether a first attempt that fails is repeated, too.
        statuses: The statuses that are worth another try. All others but 200 and redirects end the source. Browsers, and
            so the package for Node unless it is told otherwise, try none again: there the interface is the standard's.
        delay: The limit of the first delay.
        max_delay: Where that limit stops growing.
        reset_after: After a connection that lasted so long, delays start small again. So they do after one that brought
            events and ended in an orderly way.
        min_server_delay: The least delay that a server can ask for, with `retry:` or `Retry-After`. Delays that no server
            has asked for may be shorter.
        max_server_delay: The longest that a server can ask for. A random part comes on top, so that not all that were
            told the same come back together: up to a quarter after `retry:`, a tenth after `Retry-After`, or what `delay`
            and `max_delay` allow if that is more.
        max_retries: How many tries in a row, without a good connection among them. None: no limit.
        max_elapsed: How long in all without a good connection. None: no limit.
    """

    when: Literal["get", "always", "error", "never"] = "get"
    first: bool = True
    statuses: Sequence[int | range] = (429, range(500, 600))
    delay: float = 1.0
    max_delay: float = 30.0
    reset_after: float = 5.0
    min_server_delay: float = 0.1
    max_server_delay: float = 300.0
    max_retries: int | None = None
    max_elapsed: float | None = None

    def _plain(self) -> dict[str, Any]:
        return {
            "when": self.when,
            "first": self.first,
            "statuses": [_statuses(given) for given in self.statuses],
            "delay": milliseconds(self.delay, "delay"),
            "max_delay": milliseconds(self.max_delay, "max_delay"),
            "reset_after": milliseconds(self.reset_after, "reset_after"),
            "server_delay": (
                milliseconds(self.min_server_delay, "min_server_delay"),
                milliseconds(self.max_server_delay, "max_server_delay"),
            ),
            "max_retries": None if self.max_retries is None else _count(self.max_retries),
            "max_elapsed": milliseconds(self.max_elapsed, "max_elapsed"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirects:
    """Which redirects are followed. Never one from https to http, and another origin never sees what is meant for this.

    Attributes:
        max: How many in a row; 0 follows none.
        foreign_body: Whether the body may be sent to another origin than the one that it was meant for.
    """

    max: int = 10
    foreign_body: bool = False

    def _plain(self, ask: bool) -> dict[str, Any]:
        return {"max": _count(self.max), "foreign_body": self.foreign_body, "ask": ask}


def option_values(
    *,
    reconnect: Reconnect | bool | None,
    redirects: Redirects | bool,
    ask_redirects: bool,
    ask_headers: bool,
    comments: bool,
    stop_on: str | None,
    require_finish: bool,
    timeout: float | None,
    connect_timeout: float | None,
    verify: Verify,
    cert: Cert | None,
    proxy: str | bool | None,
    max_event_size: int,
    check_content_type: bool,
    compression: bool,
    http2: bool | None,
    unix_socket: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """The options of the native module."""
    if proxy is True:
        raise TypeError("proxy is a URL, None for what the environment says, or False for none")
    return {
        "reconnect": _reconnect(reconnect)._plain(),
        "redirects": _redirects(redirects)._plain(ask_redirects),
        "stop_on": stop_on,
        "require_finish": require_finish,
        "ask_headers": ask_headers,
        "comments": comments,
        "compression": compression,
        "check_content_type": check_content_type,
        "max_event_size": whole(max_event_size, "max_event_size"),
        "connect_timeout": milliseconds(connect_timeout, "connect_timeout"),
        "idle_timeout": milliseconds(timeout, "timeout"),
        "http2": http2,
        "ca": None if isinstance(verify, bool) else _pem(verify, "verify"),
        "client_cert": None if cert is None else _cert(cert),
        "insecure": verify is False,
        "proxy": proxy or None,
        "direct": proxy is False,
        "unix_socket": None if unix_socket is None else os.fspath(unix_socket),
    }


def _reconnect(given: Reconnect | bool | None) -> Reconnect:
    if isinstance(given, Reconnect):
        return given
    if given is None:
        return Reconnect()
    if isinstance(given, bool):
        return Reconnect(when="always" if given else "never")
    raise TypeError(f"reconnect is Reconnect(...), True, False or None, not {given!r}")


def _redirects(given: Redirects | bool) -> Redirects:
    if isinstance(given, Redirects):
        return given
    if isinstance(given, bool):
        return Redirects() if given else Redirects(max=0)
    raise TypeError(f"redirects is Redirects(...), True or False, not {given!r}")


def _statuses(given: int | range) -> tuple[int, int]:
    wanted = given if isinstance(given, range) else range(given, given + 1)
    if wanted.step != 1 or not wanted or wanted[0] < 100 or wanted[-1] > 999:
        raise ArgumentError(f"not a status, nor a range of them: {given!r}")
    return wanted[0], wanted[-1]


def _count(value: int) -> int:
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise ArgumentError(f"a number of tries or redirects is from 0 to 2**32 - 1, not {value!r}")
    return value


def _cert(cert: Cert) -> bytes:
    if isinstance(cert, tuple):
        chain, key = cert
        return _pem(chain, "cert") + b"\n" + _pem(key, "cert")
    return _pem(cert, "cert")


def _pem(given: Any, name: str) -> bytes:
    if isinstance(given, bytes):
        return given
    if isinstance(given, (str, os.PathLike)):
        return Path(given).read_bytes()
    raise TypeError(f"{name} takes PEM: the path of a file, or bytes; not {type(given).__name__}")
