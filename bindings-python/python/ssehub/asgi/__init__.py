"""Streams of an ASGI server. Framework-neutral: `starlette.py` gives it a face."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any, TypeAlias, cast

from ssehub.asgi.iterable import IterableStream
from ssehub.asgi.stream import Message, Receive, Scope, Send, answer, last_event_id, without_type
from ssehub.asgi.subscription import SubscriptionStream
from ssehub.errors import HandoffError
from ssehub.http import FINISHED, Options
from ssehub.shutdown import shutdown
from ssehub.subscription import Subscription

__all__ = ["Source", "begin"]

Source: TypeAlias = "Subscription | AsyncIterable[Any] | Iterable[Any] | Callable[[], Any]"


async def begin(
    source: Source, options: Options, head: Message, scope: Scope, receive: Receive, send: Send
) -> SubscriptionStream | IterableStream | None:
    """The stream that answers a request, to be run; None where the answer is given already.

    `head` is the response's `http.response.start` message.
    """
    if scope["method"] == "HEAD":
        await answer(send, head)
        return None
    shutdown.watch_server(receive, send)
    if not isinstance(source, (Subscription, AsyncIterable, Iterable)):
        source = await _call(source)
    if isinstance(source, Subscription):
        return SubscriptionStream(source, options, head, scope, receive, send)
    if options.handoff == "require":
        raise HandoffError(
            "handoff='require' is for subscriptions; an iterable stays the request's"
        )
    if options.once and scope["method"] == "GET" and last_event_id(scope) == FINISHED:
        await answer(send, {**head, "status": 204, "headers": without_type(head)})
        return None
    return IterableStream(cast("Iterable[Any]", source), options, head, scope, receive, send)


async def _call(function: Callable[[], Any]) -> Any:
    result = function()
    return await result if inspect.isawaitable(result) else result
