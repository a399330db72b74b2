"""Readers that are too slow: the three policies."""

from __future__ import annotations

import pytest

from ssehub import (
    ClosedError,
    History,
    Hub,
    LaggedError,
)
from support import SOON, data_of, drained, gap_of


def test_slow_disconnect() -> None:
    hub = Hub(max_lag=300_000)
    reader = hub.subscribe("t")
    assert drained(reader) == []
    for _ in range(40):
        hub.publish("t", "x" * 10_000)
    with pytest.raises(LaggedError, match="last_event_id"):
        reader.get(timeout=SOON)
    # It is over, and resumable.
    with pytest.raises(ClosedError):
        reader.get(timeout=SOON)
    assert hub.stats().subscriptions == 0
    assert len(drained(hub.subscribe("t", last_event_id=reader.last_event_id))) == 40


def test_slow_skip() -> None:
    hub = Hub(history=History(count=5), max_lag=300_000, slow="skip")
    reader = hub.subscribe("t")
    assert drained(reader) == []
    for n in range(40):
        hub.publish("t", f"{n:010000}")
    gap, *rest = drained(reader)
    assert gap_of(gap)["reason"] == "lagged"
    assert rest
    numbers = [int((data or "")[-4:]) for data in data_of(rest)]
    assert numbers == list(range(numbers[0], 40))
    assert hub.stats().gaps["lagged"] == 1


def test_slow_conflate() -> None:
    hub = Hub(max_lag=300_000, slow="conflate")
    reader = hub.subscribe("t")
    assert drained(reader) == []
    hub.publish("t", "owed")
    for n in range(40):
        hub.publish("t", f"{n:010000}", key=f"k{n % 2}")
    events = data_of(drained(reader))
    assert events[0] == "owed"
    assert events[-2:] == [f"{38:010000}", f"{39:010000}"]
    assert len(events) == 3
    stats = hub.stats()
    assert (stats.conflated, stats.gaps["lagged"]) == (38, 0)


def test_conflate_owes_what_has_no_key() -> None:
    hub = Hub(max_lag=300_000, slow="conflate")
    reader = hub.subscribe("t")
    assert drained(reader) == []
    for _ in range(40):
        hub.publish("t", "x" * 10_000)
    with pytest.raises(LaggedError):
        reader.get(timeout=SOON)


def test_a_policy_of_one_subscription() -> None:
    hub = Hub(max_lag=300_000)
    reader = hub.subscribe("t", slow="skip", max_lag=270_000)
    assert drained(reader) == []
    for _ in range(140):
        hub.publish("t", "x" * 10_000)
    gap, *_ = drained(reader)
    assert gap_of(gap)["reason"] == "lagged"
