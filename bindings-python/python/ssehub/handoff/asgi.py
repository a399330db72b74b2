"""Finds the transport behind an ASGI request: through wrappers, by what servers are known to keep where."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any

__all__ = ["find_transport"]

# Objects of these packages are looked into; anybody else's are not.
_KNOWN = (
    "uvicorn.",
    "hypercorn.",
    "gunicorn.",
    "starlette.",
    "fastapi.",
    "asyncio.streams",
    "uvicorn_worker",
)
_ATTRIBUTES = (
    "transport",
    "_transport",
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


def find_transport(*roots: Any) -> asyncio.Transport | None:
    """The transport that `receive` and `send` lead to, or None."""
    queue: deque[tuple[Any, int]] = deque((root, 0) for root in roots)
    seen: set[int] = set()
    while queue and len(seen) < _MAX_NODES:
        node, depth = queue.popleft()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if _is_transport(node):
            found: asyncio.Transport = node
            return found
        if depth < _MAX_DEPTH:
            queue.extend((child, depth + 1) for child in _children(node))
    return None


def _is_transport(node: Any) -> bool:
    return all(
        hasattr(type(node), name) for name in ("get_extra_info", "abort", "get_write_buffer_size")
    )


def _children(node: Any) -> list[Any]:
    children: list[Any] = []
    if isinstance(node, partial):
        children += [node.func, *node.args]
    owner = getattr(node, "__self__", None)
    if owner is not None:
        children.append(owner)
    for cell in getattr(getattr(node, "__func__", node), "__closure__", None) or ():
        try:
            children.append(cell.cell_contents)
        except ValueError:
            # A cell that is not filled yet.
            continue
    if (type(node).__module__ + ".").startswith(_KNOWN):
        children += [
            child for name in _ATTRIBUTES if (child := getattr(node, name, None)) is not None
        ]
    return children
