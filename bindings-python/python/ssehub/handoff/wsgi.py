"""What WSGI servers show of their own end."""

from __future__ import annotations

import signal

__all__ = ["is_stopping"]


def is_stopping() -> bool:
    """Whether this process's server has been told to stop, as far as it shows that.

    For gunicorn's threads: signal handlers can be set by the main thread only, where no request runs. The worker's own
    handler is there to be seen, though, and with it whether the worker is to go on.
    """
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if not type(worker).__module__.startswith("gunicorn."):
        return False
    return getattr(worker, "alive", True) is False
