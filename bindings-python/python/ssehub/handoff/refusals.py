"""Why a client's socket was not taken: counted each time, and said once with what to do about it."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssehub._ssehub import Hub

__all__ = ["Refused", "explain", "refuse"]

logger = logging.getLogger("ssehub")

# What is the matter, and the remedy, by reason.
_EXPLANATIONS = {
    "tls": (
        "the app server itself speaks TLS: let a reverse proxy in front of it end TLS, "
        "and speak HTTP/1.1 to the app server"
    ),
    "http2": "the connection speaks HTTP/2: let the proxy in front of the app server speak HTTP/1.1 to it",
    "method": (
        "the request has a body that has not been read to its end: read it before you answer, or stream GET requests"
    ),
    "transport": (
        "no socket was found behind this app server; uvicorn, gunicorn, hypercorn, werkzeug, waitress and Django's "
        "runserver are known. Where a middleware hides uvicorn's, start it with --http ssehub.uvicorn:Protocol"
    ),
    "body": (
        "a middleware joins, rewrites or compresses the response's body: have it leave text/event-stream alone"
    ),
    "buffered": (
        "what was sent did not reach the socket in time: a middleware holds it back, or the client does not read"
    ),
    "descriptors": "no file descriptor is free: raise the limit (ulimit -n, or LimitNOFILE= of systemd)",
    "platform": "there is no engine for this platform: run the server on Linux or macOS",
    "error": "taking the socket failed",
}

# (process, reason) of what has been said: a forked child says it again, to its own log.
_said: set[tuple[int, str]] = set()


class Refused(Exception):  # noqa: N818 - an outcome, not an error: the stream goes on in-loop
    """The socket cannot be taken."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def explain(reason: str, detail: str = "") -> str:
    """A reason in full: what is the matter, and the remedy."""
    explanation = _EXPLANATIONS[reason]
    return f"{explanation} ({detail})" if detail else explanation


def refuse(hub: Hub, reason: str, detail: str = "") -> None:
    """Counts a refusal. The first for its reason in this process is logged with its remedy."""
    hub._refuse_handoff(reason)
    said = (os.getpid(), reason)
    if said in _said:
        return
    _said.add(said)
    logger.info(
        "a stream stays with the app server, refused for %r: %s. It is served all the same, at a higher cost. This is "
        "said once; hub.stats().handoffs_refused counts.",
        reason,
        explain(reason, detail),
    )
