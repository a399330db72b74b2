"""What a forked process has of its parent's sources."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from scripted import Script, scripted, stream
from ssehub import ClosedError, EventSource
from test_fork import in_child

TWO = "id: 1\ndata: one\n\nid: 2\ndata: two\n\n"

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


@pytest.fixture
def live() -> Iterator[Script]:
    with scripted(stream(TWO, end=False)) as script:
        yield script


def test_after_a_fork(live: Script) -> None:
    unopened = EventSource(live.url)
    with EventSource(live.url) as source:
        assert next(source).data == "one"

        def child() -> None:
            # The parent's: what was taken is there, and no more.
            assert next(source).data == "two"
            with pytest.raises(ClosedError, match="fork"):
                next(source)
            # It can go on from there.
            assert source.last_event_id == "2"
            source.close()
            assert source.last_event_id == "2"
            # Its own.
            assert next(unopened).data == "one"
            with EventSource(live.url) as own:
                assert next(own).data == "one"

                async def read() -> str | None:
                    return (await anext(own)).data

                assert asyncio.run(read()) == "two"

        in_child(child)
        # The parent's connection is as it was.
        assert next(source).data == "two"
        with pytest.raises(TimeoutError):
            source.get(0.2)


@pytest.mark.parametrize(
    ("body", "first", "known"),
    [
        (TWO, "one", "1"),
        ("id: 7\n\n", None, "7"),
        ("data: x\n\nid: 8\n\n", "x", "8"),
        ("id: 7\ndata: x\n\n: beat\n", "x", "7"),
    ],
)
def test_a_fork_knows_where_its_parent_was(body: str, first: str | None, known: str) -> None:
    with (
        scripted(stream(body, end=False)) as script,
        EventSource(script.url, on_comment=lambda _: None) as source,
    ):
        if first is not None:
            assert next(source).data == first
        if body != TWO:
            with pytest.raises(TimeoutError):
                source.get(0.2)

        def child() -> None:
            assert source.last_event_id == known
            source.close()
            assert source.last_event_id == known

        in_child(child)
        assert source.last_event_id == known
