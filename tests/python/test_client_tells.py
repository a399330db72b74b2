"""Where `EventSource` lets itself be sent, and what it tells about that and everything else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from client_scenes import DONE, OK, QUICK, A, B, data, failure, read
from scripted import answer, cut, scripted, stream
from ssehub import (
    DisconnectedError,
    Event,
    EventSource,
    Gap,
    Redirect,
    RedirectError,
    Redirects,
    Response,
    StatusError,
    StreamEndedError,
)

# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status: int) -> None:
    got, script = read(
        answer(status, Location="/there?a=1"), OK, DONE, headers={"X-A": "1"}, reconnect=QUICK
    )
    assert got == ["a"]
    # And the next attempt begins where the first began.
    assert script.paths == ["/events", "/there?a=1", "/events"]
    assert script.sent("x-a") == ["1"] * 3


@pytest.mark.parametrize(
    ("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")]
)
def test_methods_after_a_redirect(status: int, method: str) -> None:
    _, script = read(answer(status, Location="/there"), OK, method="POST", content="x")
    assert script.peers[1].method == method
    assert script.peers[1].body == (b"x" if method == "POST" else b"")


def test_another_origin_sees_nothing_that_is_not_meant_for_it() -> None:
    secrets = {"Authorization": "a", "Cookie": "b", "X-Key": "c"}
    with scripted(OK) as other, scripted(answer(302, Location=other.url)) as script:
        source = EventSource(script.url, headers=secrets, last_event_id="7", reconnect=False)
        assert data(source) == ["a"]
        assert source.response is not None
        assert source.response.url == other.url
    assert secrets.items() <= {
        (name.title(), value) for name, value in script.peers[0].headers.items()
    }
    assert not {"authorization", "cookie", "x-key", "last-event-id"} & set(other.peers[0].headers)


def test_a_body_is_not_for_another_origin() -> None:
    with scripted(OK) as other, scripted(answer(307, Location=other.url)) as script:
        with pytest.raises(RedirectError, match="body"):
            data(EventSource(script.url, method="POST", content="x"))
        assert other.peers == []
        rules = Redirects(foreign_body=True)
        packed = {"Content-Encoding": "gzip", "X-Key": "c"}
        source = EventSource(
            script.url, method="POST", content="x", headers=packed, redirects=rules
        )
        assert data(source) == ["a"]
        assert other.peers[0].body == b"x"
        # What describes the body goes with it, and nothing else.
        assert other.peers[0].headers["content-encoding"] == "gzip"
        assert "x-key" not in other.peers[0].headers


@pytest.mark.parametrize("location", ["", "ftp://localhost/", "http://[/"])
def test_redirects_to_nowhere(location: str) -> None:
    error = failure(RedirectError, answer(302, Location=location))
    assert error.status == 302


def test_redirects_in_a_circle() -> None:
    with scripted(answer(302, Location="/events")) as script:
        with pytest.raises(RedirectError):
            data(EventSource(script.url))
        assert len(script.peers) == 11
        with pytest.raises(RedirectError):
            data(EventSource(script.url, redirects=False))
        assert len(script.peers) == 12
        with pytest.raises(RedirectError):
            data(EventSource(script.url, redirects=Redirects(max=2)))
        assert len(script.peers) == 15


def test_redirects_may_be_refused() -> None:
    asked: list[Redirect] = []

    def judge(redirect: Redirect) -> bool:
        asked.append(redirect)
        return redirect.location.endswith("/good")

    got, script = read(
        answer(307, Location="/good"), OK, method="POST", content="x", on_redirect=judge
    )
    assert got == ["a"]
    assert asked == [Redirect(script.url, script.url.replace("events", "good"), 307, "POST")]
    failure(RedirectError, answer(302, Location="/bad"), on_redirect=judge)
    # Saying nothing is neither yes nor no.
    failure(TypeError, answer(302, Location="/good"), on_redirect=lambda _: None)


# What it tells.


def test_what_happens_is_told_in_order() -> None:
    told: list[Any] = []
    with scripted(OK, cut(B), answer(503), answer(404)) as script:
        source = EventSource(script.url, reconnect=QUICK, on_open=told.append, on_error=told.append)
        with pytest.raises(StatusError):
            told.extend(source)
    kinds = [Response, Event, StreamEndedError, Response, Event, DisconnectedError]
    assert [type(item) for item in told] == [*kinds, StatusError, StatusError]
    assert [item.status for item in told[-2:]] == [503, 404]
    assert [item.delay is None for item in told[-2:]] == [False, True]


async def test_functions_may_be_async() -> None:
    told: list[Any] = []

    async def note(what: object) -> None:
        await asyncio.sleep(0)
        told.append(what)

    async def judge(_: Redirect) -> bool:
        await asyncio.sleep(0)
        return True

    with scripted(answer(302, Location="/there"), OK, DONE) as script:
        source = EventSource(
            script.url, reconnect=QUICK, on_open=note, on_error=note, on_redirect=judge
        )
        assert [event.data async for event in source] == ["a"]
    assert [type(item) for item in told] == [Response, StreamEndedError]


@pytest.mark.parametrize(
    "which", ["on_open", "on_error", "headers", "on_redirect", "on_gap", "on_comment"]
)
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_function_raises_ends_it(which: str, is_async: bool) -> None:
    def fail(_: object) -> Any:
        raise ZeroDivisionError

    async def afail(_: object) -> Any:
        raise ZeroDivisionError

    async def iterate(source: EventSource) -> None:
        async for _ in source:
            pass

    scenes = [answer(302, Location="/there"), stream(":\n", GAP), DONE]
    with scripted(*scenes) as script:
        source = EventSource(script.url, **{which: afail if is_async else fail}, reconnect=QUICK)  # type: ignore[arg-type]
        with pytest.raises(ZeroDivisionError):
            asyncio.run(iterate(source)) if is_async else data(source)
    assert list(source) == []


GAP = 'event: ssehub:gap\nid: 9\ndata: {"last_event_id":"3","reason":"expired"}\n\n'


def test_gaps_are_told() -> None:
    gaps: list[Gap] = []
    got, script = read(stream(A, GAP, B), DONE, on_gap=gaps.append, reconnect=QUICK)
    assert got == ["a", "b"]
    (gap,) = gaps
    assert (gap.last_event_id, gap.reason, gap.event.id) == ("3", "expired", "9")
    assert script.sent("last-event-id") == [None, "9"]


def test_gaps_are_events_where_nobody_is_told() -> None:
    with scripted(stream(GAP)) as script, EventSource(script.url, reconnect=False) as source:
        (event,) = source
        assert event.event == "ssehub:gap"
        assert event.json() == {"last_event_id": "3", "reason": "expired"}
        assert source.last_event_id == "9"


COMMENTS = ": beat\nid: 1\ndata: a\n:among lines\n\n:\n:  b\xe9at\ndata: b\n\n"


def test_comments_are_told_where_they_stand() -> None:
    told: list[str | None] = []
    with scripted(stream(COMMENTS)) as script:
        source = EventSource(script.url, reconnect=False, on_comment=told.append)
        told.extend(event.data for event in source)
    # A comment stands by itself; an event is there when it is complete.
    assert told == ["beat", "among lines", "a", "", " b\xe9at", "b"]
    assert source.last_event_id == "1"


async def test_comments_may_be_awaited() -> None:
    told: list[str] = []

    async def note(comment: str) -> None:
        await asyncio.sleep(0.001)
        told.append(comment)

    with scripted(stream(COMMENTS)) as script:
        async for event in EventSource(script.url, reconnect=False, on_comment=note):
            await note(event.data or "")
    assert told == ["beat", "among lines", "a", "", " b\xe9at", "b"]
