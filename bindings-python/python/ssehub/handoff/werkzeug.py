"""Werkzeug's development server, which is Flask's, too."""

from __future__ import annotations

import socketserver
from typing import Any

from ssehub.handoff.exchange import Exchange, Locals, Written, plain_socket, variables_of
from ssehub.handoff.refusals import Refused

__all__ = ["FUNCTIONS", "Werkzeug"]

# A closure of `WSGIRequestHandler.run_wsgi`.
FUNCTIONS = {("werkzeug.serving", "execute")}


class Werkzeug(Exchange):
    """A request handler that writes everything at once, and always closes the connection."""

    def __init__(self, function: Locals, environ: dict[str, Any]) -> None:
        self._handler = function["self"]
        if environ.get("werkzeug.socket") is not self._handler.connection:
            raise Refused("transport", "a request inside another one")
        if isinstance(self._handler.server, getattr(socketserver, "ForkingMixIn", ())):
            raise Refused("transport", "the server forks for each request: use threads")
        self.socket = plain_socket(self._handler.connection)

    def framing(self, written: Written) -> bool:
        """By the piece that the handler has in its hand: it has no counter."""
        handler = variables_of(FUNCTIONS)
        if handler["self"] is not self._handler or handler["data"] != written.last:
            raise Refused("body")
        sent = handler["headers_sent"]
        if sent is None or any(name.lower() == "content-length" for name, _ in sent):
            raise Refused("body", "a head with a length, or none")
        return bool(handler["chunk_response"])
