"""The hub: who gets what, and in which order; what it tells of itself; its end."""

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
    Stats,
    TopicStats,
    pattern,
)
from support import SOON, data_of, drained, gap_of, take


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


def test_metrics() -> None:
    hub = Hub()
    hub.publish("secret-topic", "x")
    text = hub.metrics()
    assert "ssehub_published_total 1\n" in text
    assert 'ssehub_gaps_total{reason="expired"} 0\n' in text
    assert text.endswith("# EOF\n")
    assert "secret-topic" not in text
