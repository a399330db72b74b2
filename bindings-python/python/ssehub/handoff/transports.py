"""Finds what of an ASGI server is behind a request: through wrappers, by what servers are known to keep where."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, cast

__all__ = ["Holder", "find_end", "find_holder", "has_read_request"]

# Objects of these packages are looked into; anybody else's are not.
_KNOWN = (
    "uvicorn.",
    "hypercorn.",
    "gunicorn.",
    "starlette.",
    "fastapi.",
    "asyncio.streams.",
    "uvicorn_worker.",
    "ssehub.handoff.",
)
_ATTRIBUTES = (
    # First: a `transport` beside it is a property, which cannot be set.
    "_transport",
    "transport",
    "_receive",
    "_send",
    "receive",
    "send",
    "writer",
    "_writer",
    "protocol",
)
_MAX_DEPTH = 14
_MAX_NODES = 3000

# Where a server says whether it has read a request to its end: package, attribute, and how it says so.
_INPUT: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("uvicorn.", "more_body", lambda more: more is False),
    ("gunicorn.", "_complete", lambda complete: complete is True),
    (
        "hypercorn.",
        "connection",
        lambda h11: repr(getattr(h11, "their_state", None)) in ("DONE", "MUST_CLOSE"),
    ),
)


class Holder:
    """Where a server keeps a transport: an object and the attribute that it writes through."""

    __slots__ = ("_attribute", "_owner")

    def __init__(self, owner: Any, attribute: str) -> None:
        self._owner = owner
        self._attribute = attribute

    @property
    def transport(self) -> Any:
        """What the server writes through; None where there is nothing."""
        return _get(self._owner, self._attribute)

    @transport.setter
    def transport(self, transport: Any) -> None:
        setattr(self._owner, self._attribute, transport)


def find_holder(*roots: Any) -> Holder | None:
    """What has the transport that `receive` and `send` lead to, or None."""
    for node in _walk(*roots):
        for attribute, child in _attributes(node):
            if _is_transport(child):
                return Holder(node, attribute)
    return None


def has_read_request(*roots: Any) -> bool:
    """Whether the server behind `receive` and `send` has read the request's body to its end, as far as it says so."""
    for node in _walk(*roots):
        for package, attribute, has_ended in _INPUT:
            value = _get(node, attribute, _ABSENT) if _module(node).startswith(package) else _ABSENT
            if value is not _ABSENT:
                return has_ended(value)
    return False


def find_end(*roots: Any) -> Callable[[], Awaitable[object]] | None:
    """What waits for the end of the server behind `receive` and `send`; None for servers that tell of it by a signal.

    hypercorn's streams have an event that says so.
    """
    for node in _walk(*roots):
        if _module(node).startswith("hypercorn."):
            wait = _get(_get(_get(node, "context"), "terminated"), "wait")
            if inspect.iscoroutinefunction(wait):
                return cast("Callable[[], Awaitable[object]]", wait)
    return None


_ABSENT = object()


def _get(node: Any, name: str, default: Any = None) -> Any:
    """An attribute of anybody's object: its properties may raise anything."""
    try:
        return getattr(node, name, default)
    except Exception:  # noqa: BLE001 - not to be read, so not there
        return default


def _module(node: Any) -> str:
    """The module that an object's class says it is from, with a dot behind."""
    name = _get(type(node), "__module__")
    return f"{name}." if isinstance(name, str) else ""


def _walk(*roots: Any) -> Iterator[Any]:
    """All that can be reached, nearest first."""
    queue: deque[tuple[Any, int]] = deque((root, 0) for root in roots)
    # By identity, and kept: the id of a bound method that is gone would soon be another's.
    seen: dict[int, Any] = {}
    while queue and len(seen) < _MAX_NODES:
        node, depth = queue.popleft()
        if id(node) in seen:
            continue
        seen[id(node)] = node
        yield node
        if depth < _MAX_DEPTH:
            queue.extend((child, depth + 1) for child in _children(node))


def _is_transport(node: Any) -> bool:
    return all(
        _get(type(node), name) is not None
        for name in ("get_extra_info", "abort", "get_write_buffer_size")
    )


def _attributes(node: Any) -> Iterator[tuple[str, Any]]:
    if _module(node).startswith(_KNOWN):
        for name in _ATTRIBUTES:
            child = _get(node, name)
            if child is not None:
                yield name, child


def _children(node: Any) -> list[Any]:
    children = [child for _, child in _attributes(node)]
    # By the type: what an object says of its class, it may look up elsewhere, and not find.
    if type(node) is partial:
        children += [node.func, *node.args, *node.keywords.values()]
    owner = _get(node, "__self__")
    if owner is not None:
        children.append(owner)
    cells = _get(_get(node, "__func__", node), "__closure__")
    for cell in cells if type(cells) is tuple else ():
        try:
            children.append(cell.cell_contents)
        except (AttributeError, ValueError):
            # A cell that is not filled yet, or none.
            continue
    return children
