"""tests/vectors, which Rust and Node run, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

import ssehub
from ssehub import Event, EventTooLargeError, Parser
from vectors import cases, stream_of

PARSE = cases("parse")
ENCODE = cases("encode")


class Outcome:
    """What a parser has said of a case so far."""

    def __init__(self, case: dict[str, Any]) -> None:
        limit = case.get("max_event_size")
        self.parser = Parser() if limit is None else Parser(max_event_size=limit)
        self.events: list[Event] = []
        self.error: str | None = None

    def feed(self, chunk: bytes) -> None:
        if self.error is not None:
            return
        try:
            self.events += self.parser.feed(chunk)
        except EventTooLargeError as error:
            self.events += error.events
            self.error = "event_too_large"

    def feed_all(self, chunks: Iterable[bytes]) -> Outcome:
        for chunk in chunks:
            self.feed(chunk)
        return self

    def check(self, case: dict[str, Any]) -> None:
        expected = [{"event": "message", "data": "", "id": "", **event} for event in case["events"]]
        assert [{"event": e.event, "data": e.data, "id": e.id} for e in self.events] == expected
        assert self.error == case.get("error")
        assert self.parser.last_event_id == case["last_event_id"]
        assert self.parser.retry == case["retry"]


@pytest.mark.parametrize("case", PARSE)
def test_parse_whole(case: dict[str, Any]) -> None:
    Outcome(case).feed_all([stream_of(case)]).check(case)


@pytest.mark.parametrize("case", PARSE)
def test_parse_byte_by_byte(case: dict[str, Any]) -> None:
    stream = stream_of(case)
    Outcome(case).feed_all(stream[i : i + 1] for i in range(len(stream))).check(case)


@pytest.mark.parametrize("case", [case for case in PARSE if "chunks" in case.values[0]])
def test_parse_by_chunks(case: dict[str, Any]) -> None:
    outcome, stream, at = Outcome(case), stream_of(case), 0
    counts = []
    for length in case["chunks"]:
        outcome.feed(stream[at : at + length])
        at += length
        counts.append(len(outcome.events))
    assert at == len(stream)
    outcome.check(case)
    assert counts == case.get("events_after_chunk", counts)


@pytest.mark.parametrize("case", ENCODE)
def test_encode(case: dict[str, Any]) -> None:
    if "error" not in case:
        assert ssehub.encode(**case["event"]) == case["wire"].encode()
        assert Event(**case["event"]).encode() == case["wire"].encode()
        return
    # What the type of a field cannot carry is a TypeError; both say which field it is.
    with pytest.raises((ValueError, TypeError), match=case["field"]):
        ssehub.encode(**case["event"])
    with pytest.raises((ValueError, TypeError), match=case["field"]):
        Event(**case["event"]).encode()
