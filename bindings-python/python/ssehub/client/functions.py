"""The functions that a user gives: which is called when, and with what."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ssehub.client.failures import to_error
from ssehub.client.messages import Attempt, Gap, Redirect, Response
from ssehub.client.request import HeaderFields, header_values

if TYPE_CHECKING:
    from ssehub import _ssehub
    from ssehub.errors import ClientError

__all__ = ["Call", "Functions", "GiveHeaders", "Judge"]

GiveHeaders: TypeAlias = "Callable[[Attempt], HeaderFields | Awaitable[HeaderFields]]"
"""Gives the header fields of an attempt."""

Judge: TypeAlias = "Callable[[Redirect], bool | Awaitable[bool]]"
"""Says whether a redirect may be followed."""


class Call(NamedTuple):
    """A function that is to be called, and what is to be done with its result."""

    function: Callable[[Any], Any]
    argument: Any
    then: Callable[[Any], object]

    def make(self) -> None:
        """Calls it in a thread."""
        result = self.function(self.argument)
        if inspect.iscoroutine(result):
            result.close()
        if inspect.isawaitable(result):
            raise TypeError(
                f"{self.function!r} is async: iterate with `async for`, or give a plain function"
            )
        self.then(result)

    async def amake(self) -> None:
        """Calls it in a task."""
        result = self.function(self.argument)
        self.then(await result if inspect.isawaitable(result) else result)


@dataclass(frozen=True, slots=True)
class Functions:
    """All of one source."""

    headers: GiveHeaders | None
    on_open: Callable[[Response], object] | None
    on_error: Callable[[ClientError], object] | None
    on_gap: Callable[[Gap], object] | None
    on_comment: Callable[[str], object] | None
    on_redirect: Judge | None

    def call(self, source: _ssehub.EventSource, what: str, about: Any) -> Call | None:
        """Who is to be called about something that a source tells."""

        def give(headers: HeaderFields) -> None:
            source.answer_headers(header_values(headers))

        def judge(follow: bool) -> None:
            if not isinstance(follow, bool):
                raise TypeError(f"on_redirect returns True or False, not {follow!r}")
            source.answer_redirect(follow)

        match what:
            case "headers":
                return _call(self.headers, Attempt(*about), give)
            case "redirect":
                return _call(self.on_redirect, Redirect(*about), judge)
            case "open":
                return _call(self.on_open, Response.of(about))
            case "gap":
                return _call(self.on_gap, Gap(*about))
            case "comment":
                return _call(self.on_comment, about)
            case "retrying" if about["kind"] != "restarted":  # which is no failure
                return _call(self.on_error, to_error(about))
            case "failed":
                return _call(self.on_error, to_error(about))
        return None


def _nothing(_: object) -> None:
    """What is done with the result of most functions."""


def _call(
    function: Callable[[Any], Any] | None,
    argument: object,
    then: Callable[[Any], object] = _nothing,
) -> Call | None:
    return None if function is None else Call(function, argument, then)
