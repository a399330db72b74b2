"""The hub: who gets what, in which order, from where on."""

from __future__ import annotations

import gc
import json
import weakref

import pytest

from ssehub import (
    ArgumentError,
    ClosedError,
    DrainingError,
    Event,
    History,
    Hub,
    LaggedError,
    Limits,
    Stats,
    TopicStats,
    pattern,
)
from support import SOON, drained, eventually, published, take


def data_of(events: list[Event]) -> list[str | None]:
    return [event.data for event in events]


def gap_of(event: Event) -> dict[str, str]:
    assert event.event == "ssehub:gap"
    found: dict[str, str] = event.json()
    return found


def test_publish_and_read() -> None:
    hub = Hub()
    reader = hub.subscribe("news")
    assert hub.publish("news", {"a": 1}, event="posted", retry=5) is None
    event = reader.get(timeout=SOON)
    assert event == Event('{"a":1}', event="posted", id=hub.last_event_id)
    assert reader.last_event_id == event.id


def test_an_event_object_gives_all_fields() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    hub.publish("t", Event("x", event="e", id="mine", comment="c"))
    assert reader.get(timeout=SOON) == Event("x", event="e", id="mine")


async def test_three_ways_to_publish_return_the_same_ids() -> None:
    hub = Hub()
    first = await hub.publish_async("t", 1)
    second = hub.publish_wait("t", 2, timeout=1)
    hub.flush(timeout=1)
    assert second == hub.last_event_id
    epoch, _, seq = first.partition("-")
    assert len(epoch) == 16
    assert (seq, second) == ("1", f"{epoch}-2")


def test_ids_grow_by_one_over_all_topics() -> None:
    hub = Hub()
    ids = [hub.publish_wait(f"topic{n % 3}", n) for n in range(10)]
    assert [int(id.split("-")[1]) for id in ids] == list(range(1, 11))


def test_two_hubs_have_different_epochs() -> None:
    assert Hub().last_event_id != Hub().last_event_id


def test_a_reader_of_several_topics_gets_one_event_once_and_all_in_order() -> None:
    hub = Hub()
    reader = hub.subscribe("a", "b", "b", pattern("*"))
    hub.publish(["a", "b"], "1")
    hub.publish("b", "2")
    hub.publish(("a", "a"), "3")
    hub.publish("c", "4")
    hub.publish("a", "5")
    assert data_of(drained(reader)) == ["1", "2", "3", "4", "5"]
    assert hub.stats().published == 5


def test_nobody_gets_what_is_not_theirs() -> None:
    hub = Hub()
    reader = hub.subscribe("orders.*")
    hub.publish("orders.1", "no")
    hub.publish("orders", "no")
    hub.publish("orders.*", "yes")
    assert data_of(drained(reader)) == ["yes"]


@pytest.mark.parametrize(
    ("text", "matching"),
    [
        ("orders.*", ["orders.1", "orders.*"]),
        ("orders.>", ["orders.1", "orders.1.x", "orders.*"]),
        ("*.1", ["orders.1", "users.1"]),
        (">", ["orders", "orders.1", "orders.1.x", "orders.*", "users.1"]),
        ("*", ["orders"]),
        ("orders.1", ["orders.1"]),
    ],
)
def test_patterns(text: str, matching: list[str]) -> None:
    hub = Hub()
    names = ["orders", "orders.1", "orders.1.x", "orders.*", "users.1"]
    live, later = hub.subscribe(pattern(text)), None
    for name in names:
        hub.publish(name, name)
    later = hub.subscribe(pattern(text), last_event_id="earliest")
    assert data_of(drained(live)) == matching
    assert data_of(drained(later)) == matching
    hub.publish("orders.1", "live")
    assert ("orders.1" in matching) == (data_of(drained(later)) == ["live"])


def test_a_subscription_starts_at_the_call_and_not_at_the_first_read() -> None:
    hub = Hub()
    hub.publish("t", "before")
    reader = hub.subscribe("t")
    hub.publish("t", "between")
    assert hub.subscribers("t") == 0
    assert take(reader, 1) == ["between"]
    assert hub.subscribers("t") == 1


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


def test_stats_are_typed_and_complete() -> None:
    hub = Hub()
    assert isinstance(hub.stats(), Stats)
    reader = hub.subscribe("a", "b")
    hub.publish(["a", "b"], "x")
    take(reader, 1)
    stats = hub.stats()
    assert (stats.published, stats.delivered, stats.subscriptions) == (1, 1, 1)
    assert (stats.topics, stats.history_frames, stats.connections) == (2, 1, 0)
    assert stats.history_bytes == stats.published_bytes == stats.delivered_bytes > 0
    assert set(stats.closed) == {"client", "slow", "drain", "kick", "expired", "max_age", "error"}
    with pytest.raises(AttributeError):
        stats.published = 5  # type: ignore[misc]
    json.dumps({name: getattr(stats, name) for name in Stats.__slots__})


def test_topics() -> None:
    hub = Hub()
    for n in (3, 1, 2):
        hub.publish(f"user:{n}", "x")
    hub.publish("news", "x")
    assert [topic.name for topic in hub.topics("user:")] == ["user:1", "user:2", "user:3"]
    assert [topic.name for topic in hub.topics(limit=2)] == ["news", "user:1"]
    (news,) = hub.topics("news")
    assert isinstance(news, TopicStats)
    assert (news.readers, news.frames, news.last_event_id) == (0, 1, hub.last_event_id)
    assert news.bytes > 0
    assert hub.topics("nobody") == []


def test_subscribers_counts_patterns_too() -> None:
    hub = Hub()
    readers = [hub.subscribe("a.b"), hub.subscribe(pattern("a.*")), hub.subscribe(pattern("c"))]
    for reader in readers:
        assert drained(reader) == []
    assert hub.subscribers("a.b") == 2
    assert hub.subscribers("a.c") == 1
    for reader in readers:
        reader.close()
    assert hub.subscribers("a.b") == 0


def test_capture() -> None:
    hub = Hub(dumps=repr)
    with hub.capture() as outer:
        hub.publish("a", {"x": 1}, event="e", key="k")
        with hub.capture() as inner:
            hub.publish(["a", "b"], Event("y", id="1"))
        hub.publish_wait("c", None)
    hub.publish("d", "after")
    assert [call.topics for call in outer] == [("a",), ("a", "b"), ("c",)]
    assert outer[0].event == Event("{'x': 1}", event="e")
    assert outer[0].key == "k"
    assert [call.event for call in inner] == [Event("y", id="1")]
    assert outer[2].event == Event("None")
    assert "publish" not in vars(hub)


def test_capture_keeps_no_refused_event() -> None:
    hub = Hub()
    with hub.capture() as captured, pytest.raises(ArgumentError):
        hub.publish("", "x")
    assert captured == []


async def test_capture_sees_publish_async() -> None:
    hub = Hub()
    with hub.capture() as captured:
        await hub.publish_async("a", 1)
    assert [call.event.data for call in captured] == ["1"]


def test_reset_begins_a_new_life() -> None:
    hub = Hub()
    id = hub.publish_wait("t", "x")
    reader = hub.subscribe("t")
    assert drained(reader) == []
    hub.reset()
    assert hub.stats().published == 0
    assert hub.topics() == []
    assert hub.ready
    assert hub.last_event_id.split("-")[0] != id.split("-")[0]
    with pytest.raises(ClosedError):
        reader.get(timeout=SOON)
    gap, *_ = drained(hub.subscribe("t", last_event_id=id))
    assert gap_of(gap)["reason"] == "unknown"


def test_reset_opens_a_closed_hub() -> None:
    hub = Hub()
    hub.close()
    hub.reset()
    hub.publish("t", "x")
    assert hub.stats().published == 1


def test_close() -> None:
    with Hub() as hub:
        reader, idle = hub.subscribe("t"), hub.subscribe("t")
        hub.publish("t", "last")
        assert take(reader, 1) == ["last"]
    assert (hub.closed, hub.ready) == (True, False)
    assert list(reader) == []
    with pytest.raises(ClosedError):
        idle.get(timeout=SOON)
    with pytest.raises(ClosedError):
        hub.publish("t", "x")
    with pytest.raises(ClosedError):
        hub.subscribe("t")
    hub.close()
    assert hub.stats().subscriptions == 0
    assert issubclass(ClosedError, RuntimeError)


async def test_drain_of_an_idle_hub() -> None:
    hub = Hub()
    assert await hub.drain(timeout=5)
    assert not hub.ready
    # Readers in code are no streams to clients: they go on.
    reader = hub.subscribe("t")
    hub.publish("t", "x")
    assert (await anext(reader)).data == "x"
    assert issubclass(DrainingError, RuntimeError)


def test_a_dropped_hub_is_freed() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    hub.publish("t", "x")
    assert take(reader, 1) == ["x"]
    gone = weakref.ref(hub)
    del hub, reader
    gc.collect()
    assert gone() is None


async def test_a_dropped_hub_is_freed_after_async_reading() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    hub.publish("t", "x")
    assert (await anext(reader)).data == "x"
    gone = weakref.ref(hub)
    del hub, reader
    gc.collect()
    assert gone() is None


def test_hub_can_be_subclassed() -> None:
    class Mine(Hub):
        def __init__(self, *args: object, extra: int = 0, **kwargs: object) -> None:
            self.extra = extra

        def __new__(cls, *args: object, extra: int = 0, **kwargs: object) -> Mine:
            return super().__new__(cls, **kwargs)  # type: ignore[arg-type]

    hub = Mine(extra=5, history=History(count=1))
    hub.publish("t", "x")
    assert hub.extra == 5


def test_repr_names_the_hub() -> None:
    assert "Hub" in repr(Hub(name="events"))


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
