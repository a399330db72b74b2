"""When `EventSource` comes back, when it gives up, and with what it asks."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Any

import pytest

from client_scenes import DONE, OK, QUICK, A, B, data, failure, read
from scripted import Scene, answer, cut, scripted, stream
from ssehub import (
    Attempt,
    ClientError,
    DisconnectedError,
    EventSource,
    Reconnect,
    StatusError,
)

# After what it comes back.


def test_get_comes_back_after_ends_and_errors() -> None:
    got, script = read(OK, cut(B), OK, DONE, reconnect=Reconnect(delay=0.01))
    assert got == ["a", "b", "a"]
    assert len(script.peers) == 4


def test_post_does_not() -> None:
    got, script = read(OK, method="POST", json={})
    assert (got, len(script.peers)) == (["a"], 1)
    failure(DisconnectedError, cut(A), method="POST")
    assert failure(StatusError, answer(503), method="POST").is_retryable


def test_post_does_when_asked() -> None:
    got, script = read(OK, answer(503), OK, DONE, method="POST", content="x", reconnect=QUICK)
    assert got == ["a", "a"]
    assert [(peer.method, peer.body) for peer in script.peers] == [("POST", b"x")] * 4


def test_never() -> None:
    assert read(OK, reconnect=False)[0] == ["a"]
    failure(DisconnectedError, cut(A), reconnect=False)


def test_after_errors_only() -> None:
    rules = Reconnect(when="error", delay=0.01)
    got, script = read(cut(A), answer(500), stream(B), reconnect=rules)
    assert (got, len(script.peers)) == (["a", "b"], 3)


def test_not_after_a_first_attempt_that_fails() -> None:
    rules = Reconnect(first=False, delay=0.01)
    failure(StatusError, answer(500), reconnect=rules)
    got, _ = read(OK, answer(500), OK, DONE, reconnect=rules)
    assert got == ["a", "a"]


@pytest.mark.parametrize("status", [201, 205, 210, 299, 400, 401, 403, 404, 410])
def test_other_statuses_end_it(status: int) -> None:
    error = failure(StatusError, answer(status, "so sorry", X_Why="because"))
    assert (error.status, error.body, error.headers["x-why"]) == (status, b"so sorry", "because")
    assert not error.is_retryable
    assert error.delay is None
    assert error.url.startswith("http://127.0.0.1")
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
def test_some_statuses_are_tried_again(status: int) -> None:
    assert read(answer(status), OK, DONE, reconnect=QUICK)[0] == ["a"]


def test_which_is_a_setting() -> None:
    rules = Reconnect(when="always", delay=0.01, statuses=[404, range(502, 504)])
    assert read(answer(404), answer(503), OK, DONE, reconnect=rules)[0] == ["a"]
    failure(StatusError, answer(500), reconnect=rules)
    with pytest.raises(ValueError, match="not a status"):
        EventSource("http://localhost/", reconnect=Reconnect(statuses=[range(9)]))


def test_nobody_listens() -> None:
    with scripted(OK) as script:
        url = script.url
    with pytest.raises(ConnectionError) as caught:
        data(EventSource(url, reconnect=Reconnect(delay=0.01, max_retries=2)))
    assert isinstance(caught.value, ClientError)
    assert caught.value.is_retryable
    assert "as many tries as allowed" in str(caught.value)


def test_as_long_as_allowed() -> None:
    begin = time.monotonic()
    rules = Reconnect(delay=0.05, max_delay=0.05, max_elapsed=0.3)
    failure(StatusError, answer(500), reconnect=rules)
    assert 0.05 < time.monotonic() - begin < 5


# When it comes back.


def delays(*scenes: Scene, **options: Any) -> list[float]:
    """What `on_error` is told to wait for. The last scene is not played."""
    found: list[float] = []
    with scripted(*scenes) as script:

        def note(error: ClientError) -> None:
            assert error.delay is not None
            found.append(error.delay)
            assert error.attempt == len(found)
            if len(found) == len(scenes):
                source.close()
            else:
                source.restart()

        source = EventSource(script.url, on_error=note, **options)
        data(source)
    return found


def test_delays_grow_to_a_limit() -> None:
    rules = Reconnect(delay=10, max_delay=15, min_server_delay=0)
    for _ in range(3):
        first, *others = delays(*[answer(500)] * 3, reconnect=rules)
        assert 0 <= first <= 10
        assert all(0 <= delay <= 15 for delay in others)


def test_the_server_says_when() -> None:
    (delay,) = delays(stream(f"retry: 20000\n{A}"))
    assert 20 <= delay <= 25
    (delay,) = delays(answer(503, Retry_After="120"))
    assert 120 <= delay <= 132


def test_the_server_may_not_say_anything() -> None:
    (delay,) = delays(answer(503, Retry_After="1000000"))
    assert 300 <= delay <= 330
    (delay,) = delays(stream(f"retry: 0\n{A}"), reconnect=Reconnect(min_server_delay=0.2))
    assert 0.2 <= delay <= 0.25


def test_what_the_server_may_ask_for_is_no_delay_of_ours() -> None:
    rules = Reconnect(delay=1, min_server_delay=50, max_server_delay=60)
    found = [delay for _ in range(5) for delay in delays(answer(500), reconnect=rules)]
    assert all(0.1 <= delay <= 1 for delay in found)
    assert len(set(found)) > 1


def test_retry_after_of_a_refusal() -> None:
    assert failure(StatusError, answer(503, Retry_After="7"), reconnect=False).retry_after == 7
    assert failure(StatusError, answer(503), reconnect=False).retry_after is None


def test_retry_after_may_be_a_date() -> None:
    in_an_hour = formatdate(time.time() + 3600, usegmt=True)
    error = failure(StatusError, answer(503, Retry_After=in_an_hour), reconnect=False)
    assert 3500 < error.retry_after <= 3600
    long_ago = formatdate(0, usegmt=True)
    error = failure(StatusError, answer(503, Retry_After=long_ago), reconnect=False)
    assert error.retry_after == 0


def test_delays_are_short_again_after_a_good_connection() -> None:
    found: list[float | None] = []
    rules = Reconnect(delay=0.001, max_delay=100, min_server_delay=0)
    scenes = [*[answer(500)] * 9, OK, DONE]
    read(*scenes, reconnect=rules, on_error=lambda error: found.append(error.delay))
    # The limit was up to half a second, and is that of the first again.
    assert all((delay or 0) <= 0.001 * 2**n for n, delay in enumerate(found[:-1]))
    assert (found[-1] or 0) <= 0.001


# Headers for each attempt.


def test_headers_of_each_attempt() -> None:
    asked: list[Attempt] = []

    def headers(attempt: Attempt) -> dict[str, str]:
        asked.append(attempt)
        return {"Authorization": f"Bearer {attempt.number}"}

    got, script = read(OK, answer(503), OK, DONE, headers=headers, reconnect=QUICK)
    assert got == ["a", "a"]
    assert script.sent("authorization") == [f"Bearer {n}" for n in (1, 2, 3, 4)]
    assert asked == [Attempt(1, None), Attempt(2, None), Attempt(3, 503), Attempt(4, None)]


async def test_headers_that_are_awaited() -> None:
    tokens = iter(["old", "new", "newer"])

    async def headers(attempt: Attempt) -> list[tuple[str, str]]:
        await asyncio.sleep(0.01)
        return [("Authorization", next(tokens))]

    with scripted(answer(401), OK, DONE) as script:
        # A POST is not repeated; but the first one was not carried out.
        source = EventSource(script.url, method="POST", headers=headers)
        assert [event.data async for event in source] == ["a"]
        assert script.sent("authorization") == ["old", "new"]


def test_a_second_401_ends_it() -> None:
    asked = []
    error = failure(
        StatusError, answer(401), headers=lambda attempt: asked.append(attempt.status) or {}
    )
    assert error.status == 401
    assert asked == [None, 401]


def test_async_functions_need_async_iteration() -> None:
    async def headers(_: Attempt) -> dict[str, str]:
        return {}

    assert "async for" in str(failure(TypeError, OK, headers=headers))


@pytest.mark.parametrize("wrong", [None, 1, {"a": 1}, {"a": "b\nc"}])
def test_headers_that_cannot_be_sent(wrong: Any) -> None:
    with scripted(OK) as script, pytest.raises((TypeError, ValueError)):
        data(EventSource(script.url, headers=lambda _: wrong))
    assert script.peers == []


async def test_a_cancelled_function_is_called_again() -> None:
    calls = 0

    async def headers(_: Attempt) -> dict[str, str]:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(60)
        return {}

    with scripted(OK) as script:
        async with EventSource(script.url, headers=headers) as source:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(source), 0.05)
            assert (await anext(source)).data == "a"
