"""Clients of WSGI streams that take nothing: their threads wait in the server's `send`, so another one must notice."""

from __future__ import annotations

import os
import threading
import time
import weakref
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
        # Weak: a body that its server forgets to close is still freed.
        self._bodies: weakref.WeakSet[_Body] = weakref.WeakSet()
        self._runs = False

    def add(self, body: _Body) -> None:
        """Watches a body until `remove`."""
        with self._lock:
            self._bodies.add(body)
            if self._runs:
                return
            self._runs = True
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
                    self._runs = False
                    return
            now = time.monotonic()
            while bodies:
                # Taken out, so that none is kept until the next look.
                self._look(bodies.pop(), now)

    @staticmethod
    def _look(body: _Body, now: float) -> None:
        since = body.busy_since
        patience = DRAIN_TIMEOUT if body.draining else WRITE_TIMEOUT / 1000
        if since is not None and now - since > patience:
            body.cut()


watch = Watch()
"""The one of this process."""

if hasattr(os, "register_at_fork"):
    # A forked child has neither the thread nor the bodies.
    os.register_at_fork(after_in_child=watch.__init__)  # type: ignore[misc]
