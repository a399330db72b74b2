"""Streams in a WSGI server's thread. Framework-neutral: `flask.py` gives it a face.

The bodies are objects and not generators: servers call `close` also on a body that they never began to read.
"""

from ssehub.wsgi.iterable import IterableBody
from ssehub.wsgi.request import last_event_id
from ssehub.wsgi.subscription import SubscriptionBody

__all__ = ["IterableBody", "SubscriptionBody", "last_event_id"]
