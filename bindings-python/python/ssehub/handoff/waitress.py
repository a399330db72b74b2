"""waitress: threads that fill buffers, and a loop that empties them."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ssehub.handoff.exchange import Exchange, Locals, Written, plain_socket, variables_of
from ssehub.handoff.refusals import Refused

__all__ = ["FUNCTIONS", "Waitress"]

FUNCTIONS = {("waitress.task", "execute")}
# What select() can take, but for a few that the application may have.
SELECT = 1024 - 64
# How long the client may take to read what is buffered, in seconds.
PATIENCE = 2.0


class Waitress(Exchange):
    """A task, and the channel that it writes to. It always closes connections whose responses have no length."""

    def __init__(self, function: Locals, environ: dict[str, Any]) -> None:
        self._task = function["self"]
        self._channel = self._task.channel
        if environ.get("waitress.client_disconnected") != self._channel.check_client_disconnected:
            raise Refused("transport", "a request inside another one")
        self.socket = plain_socket(self._channel.socket)
        adj = self._channel.adj
        if not adj.asyncore_use_poll and self.socket.fileno() > SELECT - adj.connection_limit:
            # The engine's descriptors count, too; beyond the limit waitress would end.
            raise Refused("descriptors", "waitress uses select(): set asyncore_use_poll=True")

    def framing(self, written: Written) -> bool:
        """By the pieces that the task has seen. What it has written may still be in the channel's buffers."""
        task = self._task
        function = variables_of(FUNCTIONS)
        if (
            function["self"] is not task
            or not task.wrote_header
            or task.content_length is not None
            or function["first_chunk_len"] != written.first
            or function["chunk"] != written.last
        ):
            raise Refused("body")
        return bool(task.chunked_response)

    @contextmanager
    def quiet(self, written: Written) -> Iterator[bool]:
        """The loop closes channels, and writes to them: under their lock."""
        chunked = self.framing(written)
        channel = self._channel
        deadline = time.monotonic() + PATIENCE
        writable = select.poll()
        writable.register(self.socket, select.POLLOUT)
        while True:
            with channel.outbuf_lock:
                if not channel.connected or channel.will_close:
                    raise Refused("buffered", "the client has left")
                try:
                    channel._flush_some(do_close=False)
                except OSError as error:
                    raise Refused("buffered", str(error)) from error
                if not channel.total_outbufs_len:
                    yield chunked
                    return
            left = deadline - time.monotonic()
            if left <= 0:
                raise Refused("buffered", "the client reads too slowly")
            writable.poll(left * 1000)
