"""What is kept, what a returning reader gets, and what it is told of gaps."""

from __future__ import annotations

import pytest

from ssehub import (
    History,
    Hub,
    Limits,
)
from support import data_of, drained, eventually, gap_of, published, take


def test_resume_and_earliest() -> None:
    hub = Hub()
    ids = published(hub, 5)
    assert data_of(drained(hub.subscribe("t", last_event_id=ids[1]))) == ["2", "3", "4"]
    assert data_of(drained(hub.subscribe("t", last_event_id=ids[4]))) == []
    assert data_of(drained(hub.subscribe("t", last_event_id="earliest"))) == list("01234")
    assert data_of(drained(hub.subscribe("t", last_event_id=""))) == []


def test_resume_over_several_topics_joins_history_and_live() -> None:
    hub = Hub()
    start = hub.publish_wait("a", "0")
    for n in range(1, 6):
        hub.publish("ab"[n % 2], str(n))
    reader = hub.subscribe("a", "b", last_event_id=start)
    assert take(reader, 3) == ["1", "2", "3"]
    hub.publish("b", "6")
    assert take(reader, 3) == ["4", "5", "6"]


def test_a_quiet_topic_is_no_gap() -> None:
    hub = Hub(history=History(count=10))
    start = hub.publish_wait("quiet", "x")
    published(hub, 1000, "busy")
    assert drained(hub.subscribe("quiet", last_event_id=start)) == []
    assert drained(hub.subscribe("never", last_event_id=start)) == []


def test_an_expired_gap_is_told_once_and_the_rest_replayed() -> None:
    hub = Hub(history=History(count=3))
    ids = published(hub, 10)
    reader = hub.subscribe("t", last_event_id=ids[2])
    gap, *rest = drained(reader)
    assert gap_of(gap) == {"last_event_id": ids[2], "reason": "expired"}
    assert data_of(rest) == ["7", "8", "9"]
    assert gap.id == ids[6]
    # Whoever comes back with the gap's id is not told again.
    assert data_of(drained(hub.subscribe("t", last_event_id=gap.id))) == ["7", "8", "9"]
    assert hub.stats().gaps == {"expired": 1, "unknown": 0, "lagged": 0}


def test_on_gap_live() -> None:
    hub = Hub(history=History(count=3))
    ids = published(hub, 10)
    reader = hub.subscribe("t", last_event_id=ids[2], on_gap="live")
    (gap,) = drained(reader)
    assert gap_of(gap)["reason"] == "expired"
    assert gap.id == ids[9]
    published(hub, 1, first=10)
    assert take(reader, 1) == ["10"]


@pytest.mark.parametrize(
    "id", ["nonsense", "0123456789abcdef-3", "42", "é", "x" * 5000, "a\nb", "-", "ssehub:end"]
)
def test_an_unknown_id_is_a_gap(id: str) -> None:
    hub = Hub()
    published(hub, 3)
    gap, *rest = drained(hub.subscribe("t", last_event_id=id))
    assert gap_of(gap)["reason"] == "unknown"
    assert gap_of(gap)["last_event_id"] == id
    assert data_of(rest) == ["0", "1", "2"]


def test_an_id_of_the_future_is_unknown() -> None:
    hub = Hub()
    published(hub, 3)
    epoch = hub.last_event_id.split("-")[0]
    for seq in ("4", "999", "18446744073709551615", "99999999999999999999"):
        gap, *_ = drained(hub.subscribe("t", last_event_id=f"{epoch}-{seq}"))
        assert gap_of(gap)["reason"] == "unknown"


def test_the_replay_after_an_unknown_id_is_capped() -> None:
    hub = Hub(history=History(count=10_000, bytes=10 << 20))
    for n in range(100):
        hub.publish("t", f"{n:010000}")
    gap, *rest = drained(hub.subscribe("t", last_event_id="foreign"))
    assert gap_of(gap)["reason"] == "unknown"
    assert 20 <= len(rest) <= 26
    assert rest[-1].data is not None
    assert rest[-1].data.endswith("99")
    assert data_of(drained(hub.subscribe("t", last_event_id=gap.id))) == data_of(rest)


def test_ids_of_the_publisher_are_positions() -> None:
    hub = Hub(history=History(count=3))
    for n in range(3):
        hub.publish("t", str(n), id=f"mine-{n}")
    assert hub.publish_wait("other", "x", id="other")
    assert data_of(drained(hub.subscribe("t", last_event_id="mine-1"))) == ["2"]
    # An event of another topic is a position, too.
    assert data_of(drained(hub.subscribe("t", last_event_id="other"))) == []
    published(hub, 3, first=3)
    gap, *rest = drained(hub.subscribe("t", last_event_id="mine-1"))
    assert gap_of(gap) == {"last_event_id": "mine-1", "reason": "unknown"}
    assert data_of(rest) == ["3", "4", "5"]


def test_a_custom_id_may_come_again() -> None:
    hub = Hub()
    hub.publish("t", "0", id="same")
    hub.publish("t", "1", id="same")
    hub.publish("t", "2")
    assert data_of(drained(hub.subscribe("t", last_event_id="same"))) == ["2"]


def test_no_history() -> None:
    hub = Hub(history=History(count=0))
    reader = hub.subscribe("t")
    assert drained(reader) == []
    ids = published(hub, 3)
    assert data_of(drained(reader)) == ["0", "1", "2"]
    # What is kept for that reader is not for others.
    for _ in range(2):
        (gap,) = drained(hub.subscribe("t", last_event_id=ids[0]))
        assert gap_of(gap)["reason"] == "expired"
        reader.close()


def test_histories_by_pattern() -> None:
    hub = Hub(topics={"exact": History(count=1), "few.*": History(count=2)})
    for topic in ("exact", "few.a", "many"):
        published(hub, 5, topic)
    frames = {topic.name: topic.frames for topic in hub.topics()}
    assert frames == {"exact": 1, "few.a": 2, "many": 5}


async def test_history_expires_by_age_while_nobody_calls() -> None:
    hub = Hub(history=History(age=0.2))
    start = hub.last_event_id
    published(hub, 5)
    await eventually(lambda: hub.stats().history_frames == 0)
    await eventually(lambda: hub.stats().topics == 0)
    gap = await anext(hub.subscribe("t", last_event_id=start))
    assert gap_of(gap)["reason"] == "expired"


def test_all_histories_have_one_budget() -> None:
    hub = Hub(limits=Limits(history_bytes=1 << 20, event_size=100_000))
    start = hub.last_event_id
    for n in range(400):
        hub.publish(f"t{n}", "x" * 10_000)
    stats = hub.stats()
    assert stats.history_bytes <= 1 << 20
    assert 90 <= stats.history_frames <= 105
    gap, *_ = drained(hub.subscribe("t0", last_event_id=start))
    assert gap_of(gap)["reason"] == "expired"
    assert data_of(drained(hub.subscribe("t399", last_event_id="earliest"))) == ["x" * 10_000]


def test_many_short_lived_topics_leave_nothing() -> None:
    hub = Hub(history=History(count=0))
    for n in range(200_000):
        hub.publish(f"user:{n}", "x")
    stats = hub.stats()
    assert stats.topics == 0
    assert stats.tombstones <= 65_536


def test_a_gap_of_one_topic_loses_nothing_of_another() -> None:
    """Whoever is cut off right after the gap event resumes with its id."""
    hub = Hub(history=History(count=3))
    start = hub.last_event_id
    hub.publish("quiet", "kept")
    published(hub, 10, "busy")
    gap, *rest = drained(hub.subscribe("quiet", "busy", last_event_id=start))
    assert gap_of(gap)["reason"] == "expired"
    assert data_of(rest) == ["kept", "7", "8", "9"]
    again = drained(hub.subscribe("quiet", "busy", last_event_id=gap.id))
    assert [event.data for event in again if event.event == "message"] == data_of(rest)
    ids = [int((event.id or "").split("-")[1]) for event in (gap, *rest)]
    assert ids == sorted(ids)
