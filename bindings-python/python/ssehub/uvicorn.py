"""uvicorn with its connections in sight: `uvicorn app:app --http ssehub.uvicorn:Protocol`.

Only needed where a middleware hides the server so well that hub streams are refused for "transport" (see
`hub.stats().handoffs_refused`). Each request's scope then says where its connection is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.http.h11_impl import H11Protocol as _H11Protocol

from ssehub.handoff.asgi import EXTENSION

__all__ = ["H11Protocol", "Protocol"]

if TYPE_CHECKING:
    # Which one it is depends on what is installed; both are used alike.
    _AutoProtocol = _H11Protocol
else:
    _AutoProtocol = AutoHTTPProtocol


async def _call(
    app: Callable[..., Awaitable[None]],
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[Any], Awaitable[None]],
) -> None:
    # Here, outside all middleware, `receive` is a method of the object that writes the response.
    scope.setdefault("extensions", {})[EXTENSION] = getattr(receive, "__self__", None)
    return await app(scope, receive, send)


class Protocol(_AutoProtocol):
    """uvicorn's HTTP protocol as `--http auto` chooses it: httptools where that is installed, else h11."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = partial(_call, self.app)


class H11Protocol(_H11Protocol):
    """The same for `--http h11`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = partial(_call, self.app)
