"""Clients of WSGI streams that take nothing: their threads wait in the server's `send`, so another one must notice."""

from __future__ import annotations

import os
import threading
import time
from typing import Protocol

from ssehub.http import WRITE_TIMEOUT
from ssehub.shutdown import DRAIN_TIMEOUT

__all__ = ["watch"]

# How often it looks, in seconds.
PERIOD = 1.0


class _Body(Protocol):
    # Since when the server has been sending what it was given; None while the body waits for the hub.
    busy_since: float | None

    @property
    def draining(self) -> bool: ...

    def cut(self) -> None: ...


class Watch:
    """Cuts bodies that have been sending for too long. Its thread lives as long as there are bodies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bodies: set[_Body] = set()
        # The process whose thread runs: a forked child has none.
        self._process = 0

    def add(self, body: _Body) -> None:
        """Watches a body until `remove`."""
        with self._lock:
            self._bodies.add(body)
            if self._process == os.getpid():
                return
            self._process = os.getpid()
        threading.Thread(target=self._run, name="ssehub-stalled", daemon=True).start()

    def remove(self, body: _Body) -> None:
        """The body is over."""
        with self._lock:
            self._bodies.discard(body)

    def _run(self) -> None:
        while True:
            time.sleep(PERIOD)
            with self._lock:
                bodies = list(self._bodies)
                if not bodies:
                    self._process = 0
                    return
            now = time.monotonic()
            for body in bodies:
                since = body.busy_since
                patience = DRAIN_TIMEOUT if body.draining else WRITE_TIMEOUT / 1000
                if since is not None and now - since > patience:
                    body.cut()


watch = Watch()
"""The one of this process."""
