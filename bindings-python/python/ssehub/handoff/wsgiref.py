"""The standard library's WSGI server, and Django's `runserver`, which is made of it."""

from __future__ import annotations

import socketserver
from typing import Any

from ssehub.handoff.exchange import Exchange, Locals, Written, plain_socket, variables_of
from ssehub.handoff.refusals import Refused

__all__ = ["FUNCTIONS", "Wsgiref"]

FUNCTIONS = {("wsgiref.handlers", "run")}
_WRITING = {("wsgiref.handlers", "finish_response")}


class Wsgiref(Exchange):
    """A `SimpleHandler`: writes everything at once, counts it, and closes connections whose responses have no length."""

    def __init__(self, function: Locals, environ: dict[str, Any]) -> None:
        self._handler = function["self"]
        if environ.get("wsgi.input") is not self._handler.get_stdin():
            raise Refused("transport", "a request inside another one")
        # CGI has none.
        request = self._handler.request_handler
        if isinstance(request.server, getattr(socketserver, "ForkingMixIn", ())):
            raise Refused("transport", "the server forks for each request: use threads")
        if self._handler.stdout is not request.wfile:
            raise Refused("transport", "something between the response and the socket")
        self.socket = plain_socket(request.connection)

    def framing(self, written: Written) -> bool:
        """By the handler's own counter, and the piece that it has in its hand. It has no chunks."""
        handler = self._handler
        function = variables_of(_WRITING)
        if (
            function["self"] is not handler
            or not handler.headers_sent
            or "Content-Length" in handler.headers
            or handler.bytes_sent != written.total
            or function["data"] != written.last
        ):
            raise Refused("body", f"{handler.bytes_sent} bytes written, {written.total} given")
        return False
