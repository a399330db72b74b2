"""From what a user gives to a request of the native module."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlencode, urlsplit

from ssehub import _json
from ssehub.errors import ArgumentError

__all__ = ["Auth", "HeaderFields", "Params"]

HeaderFields: TypeAlias = "Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]"
"""Header fields by name, or as pairs where a name occurs several times. Text is sent as UTF-8."""

Params: TypeAlias = "Mapping[str, Any] | Sequence[tuple[str, Any]]"
"""Parameters for the query of the URL. A value that is a list gives one for each of its items."""

Auth: TypeAlias = "tuple[str, str] | str"
"""A user and a password (Basic), or a token (Bearer)."""


def request_values(
    *,
    url: str,
    method: str,
    headers: HeaderFields | None,
    params: Params | None,
    json: Any,
    content: str | bytes | None,
    auth: Auth | None,
    last_event_id: str | None,
) -> dict[str, Any]:
    """The request of the native module."""
    if json is not None and content is not None:
        raise ArgumentError("a request has one body: give json or content, not both")
    fields = header_values(headers or {})
    given = {name.lower() for name, _ in fields}
    if auth is not None:
        if "authorization" in given:
            raise ArgumentError("give auth, or a header Authorization, not both")
        fields.append(("Authorization", _authorization(auth)))
    if json is not None and "content-type" not in given:
        fields.append(("Content-Type", b"application/json"))
    return {
        "url": _with_params(str(url), params),
        "method": method,
        "headers": fields,
        "body": _json.dumps(json).encode() if json is not None else _bytes(content),
        "last_event_id": last_event_id,
    }


def header_values(headers: HeaderFields) -> list[tuple[str, bytes]]:
    """Header fields as they go over the wire."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, _header_value(name, value)) for name, value in pairs]


def _header_value(name: str, value: str | bytes) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise TypeError(f"the header {name} is str or bytes, not {type(value).__name__}")


def _authorization(auth: Any) -> bytes:
    if isinstance(auth, str):
        return b"Bearer " + auth.encode()
    if isinstance(auth, tuple) and len(auth) == 2:
        return b"Basic " + base64.b64encode(":".join(auth).encode())
    raise TypeError("auth is (user, password) or a token; for other schemes give headers")


def _with_params(url: str, params: Params | None) -> str:
    if not params:
        return url
    parts = urlsplit(url)
    query = "&".join(filter(None, [parts.query, urlencode(params, doseq=True)]))
    return parts._replace(query=query).geturl()


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
