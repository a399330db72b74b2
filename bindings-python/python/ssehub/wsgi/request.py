"""What the streams want to know of their request."""

from __future__ import annotations

from typing import Any

from ssehub.http import position

__all__ = ["PROBE", "last_event_id", "path_of"]

# How often a silent stream looks whether its client is still there, in seconds.
PROBE = 1.0


def last_event_id(environ: dict[str, Any]) -> str:
    """The client's position: the header, else the query parameter."""
    # WSGI hands headers over as Latin-1; EventSource writes ids as UTF-8.
    header = str(environ.get("HTTP_LAST_EVENT_ID", ""))
    given = header.encode("latin-1", "replace").decode("utf-8", "replace")
    return position(given, str(environ.get("QUERY_STRING", "")))


def path_of(environ: dict[str, Any]) -> str:
    """The path, for logs. Without the query, which may be secret."""
    return str(environ.get("PATH_INFO", ""))
