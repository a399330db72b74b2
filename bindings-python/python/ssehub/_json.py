"""JSON as FastAPI users expect it: compact, not ASCII-escaped, strict about numbers."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import ipaddress
import json
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from ssehub._ssehub import Event, Parser
from ssehub.errors import ArgumentError

# What is written as its text.
_PLAIN = (
    uuid.UUID,
    PurePath,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
)


def _default(value: Any) -> Any:
    """What json itself does not know, as something it does."""
    dump = getattr(value, "model_dump", None)
    if dump is not None and hasattr(type(value), "model_fields"):
        return dump(mode="json", by_alias=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, _PLAIN):
        return str(value)
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            raise ValueError(f"Out of range decimal values are not JSON compliant: {value}")
        exponent = value.as_tuple().exponent
        return int(value) if isinstance(exponent, int) and exponent >= 0 else float(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset, deque)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode()
    raise _no_form(f"{type(value).__name__} has no JSON form")


def _no_form(problem: str) -> TypeError:
    return TypeError(
        f"{problem}: publish a dict, a dataclass or a pydantic model, or give the hub a dumps= of your own"
    )


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default
).encode


def dumps(value: Any) -> str:
    """The JSON text of a value.

    Raises:
        ArgumentError: for NaN, infinities and circular values.
        TypeError: for objects without a JSON form.
    """
    try:
        try:
            return _encode(value)
        except TypeError as error:
            if "keys must be" not in str(error):
                raise
        # Keys that are UUIDs, dates or enums: json refuses them, FastAPI takes them.
        return _encode(_with_plain_keys(value))
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"the data cannot be written as JSON: {error}") from error


def _with_plain_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): _with_plain_keys(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return [_with_plain_keys(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return _with_plain_keys(_default(value))


def _key(key: Any) -> Any:
    plain = key if key is None or isinstance(key, (str, int, float)) else _default(key)
    if isinstance(plain, (list, dict)):
        raise _no_form(f"{type(key).__name__} cannot be a key in JSON")
    return plain


def loads(data: str, type_: Any | None) -> Any:
    """Decodes JSON, validated by pydantic where a type is given."""
    if type_ is None:
        return json.loads(data)
    return _validator(type_)(data)


@lru_cache(maxsize=256)
def _validator(type_: Any) -> Callable[[str], Any]:
    try:
        from pydantic import TypeAdapter
    except ImportError as error:
        raise ImportError(
            "event.json(type) validates with pydantic: pip install pydantic, or call event.json()"
        ) from error
    adapter: TypeAdapter[Any] = TypeAdapter(type_)
    return adapter.validate_json


def restore_event(
    data: str | None, event: str | None, id: str | None, retry: int | None, comment: str | None
) -> Event:
    """Unpickles an event."""
    if event is not None and event.startswith("ssehub:"):
        # Types of the hub's own come from parsers only.
        lines = [
            f"id: {id}",
            f"event: {event}",
            *(f"data: {line}" for line in str(data).split("\n")),
        ]
        block = "\n".join([*lines, "", ""]).encode()
        return Parser(max_event_size=len(block)).feed(block)[0]
    return Event(data, event=event, id=id, retry=retry, comment=comment)
