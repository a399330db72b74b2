"""gunicorn's workers: sync, gthread, gevent, and whatever else is made of them."""

from __future__ import annotations

import signal
from typing import Any, NoReturn

from ssehub.handoff.exchange import Exchange, Locals, Written, plain_socket, variables_of
from ssehub.handoff.refusals import Refused

__all__ = ["FUNCTIONS", "HTTP2_FUNCTIONS", "Gunicorn", "is_stopping", "refuse_http2"]

# Where a worker calls the application and writes what it gives.
FUNCTIONS = {
    (f"gunicorn.workers.{module}", "handle_request") for module in ("sync", "gthread", "base_async")
}
HTTP2_FUNCTIONS = {
    (f"gunicorn.workers.{module}", "handle_http2_request") for module in ("gthread", "base_async")
}


class Gunicorn(Exchange):
    """A `gunicorn.http.wsgi.Response`: writes everything at once, and counts it."""

    def __init__(self, function: Locals, environ: dict[str, Any]) -> None:
        self._response = function["resp"]
        if environ.get("gunicorn.socket") is not self._response.sock:
            raise Refused("transport", "a request inside another one")
        self.socket = plain_socket(self._response.sock)

    def end_connection(self) -> None:
        """Otherwise gthread and gevent would announce that the connection stays."""
        self._response.force_close()

    def framing(self, written: Written) -> bool:
        """By the response's own counter, and the piece that the worker has in its hand."""
        response = self._response
        worker = variables_of(FUNCTIONS)
        if (
            worker["resp"] is not response
            or not response.headers_sent
            or response.response_length is not None
            or response.sent != written.total
            or worker["item"] != written.last
        ):
            raise Refused("body", f"{response.sent} bytes written, {written.total} given")
        return bool(response.chunked)


def refuse_http2(function: Locals, environ: dict[str, Any]) -> NoReturn:
    """A connection that has other streams, too."""
    raise Refused("http2")


def is_stopping() -> bool:
    """Whether this process's worker has been told to stop, as far as it shows that.

    For threads: signal handlers can be set by the main thread only, where no request runs. The worker's own handler is
    there to be seen, though, and with it whether the worker is to go on.
    """
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if not type(worker).__module__.startswith("gunicorn."):
        return False
    return getattr(worker, "alive", True) is False
