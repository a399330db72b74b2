"""Settings: typed, frozen, and refused with a sentence that helps."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import ssehub
from ssehub import ArgumentError, History, Hub, LimitError, Limits, SSEHubError, pattern
from ssehub.errors import HandoffError


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": "redis://localhost"}, "without a url"),
        ({"slow": "drop"}, "disconnect"),
        ({"retry": -1}, "retry"),
        ({"retry": 2**53}, "retry"),
        ({"retry": 2**70}, "retry"),
        ({"max_lag": -1}, "max_lag"),
        ({"max_lag": 10}, r"max_lag.*event_size"),
        ({"max_lag": 2**70}, "max_lag"),
        ({"heartbeat": 0}, "heartbeat"),
        ({"heartbeat": -1}, "heartbeat"),
        ({"heartbeat": float("nan")}, "heartbeat"),
        ({"heartbeat": float("inf")}, "heartbeat"),
        ({"history": History(bytes=1000)}, r"1000 bytes.*event_size"),
        ({"history": History(count=-1)}, "count"),
        ({"history": History(bytes=-1)}, "bytes"),
        ({"history": History(count=2**70)}, "count"),
        ({"history": History(age=-1)}, "age"),
        ({"topics": {"a": History(bytes=1000)}}, "event_size"),
        ({"topics": {"": History()}}, "topic"),
        ({"topics": {"a\n": History()}}, "topic"),
        ({"limits": Limits(connections=0)}, "connections"),
        ({"limits": Limits(connections=-1)}, "connections"),
        ({"limits": Limits(connections_per_key=0)}, "connections_per_key"),
        ({"limits": Limits(topics_per_subscription=0)}, "topics_per_subscription"),
        ({"limits": Limits(event_size=0)}, "event_size"),
        ({"limits": Limits(history_bytes=1)}, "history_bytes"),
        ({"limits": Limits(connections=2**70)}, "connections"),
    ],
    ids=str,
)
def test_settings_that_cannot_work(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        Hub(**options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"limits": {"connections": 1}}, "Limits"),
        ({"history": 100}, "History"),
        ({"topics": {"a": 100}}, "History"),
        ({"topics": {1: History()}}, "str"),
        ({"retry": "3"}, "retry"),
        ({"retry": True}, "retry"),
        ({"retry": 1.5}, "retry"),
        ({"max_lag": "1"}, "max_lag"),
        ({"heartbeat": "15"}, "heartbeat"),
        ({"heartbeat": True}, "heartbeat"),
        ({"history": History(age="1")}, "age"),  # type: ignore[arg-type]
        ({"history": History(count="1")}, "count"),  # type: ignore[arg-type]
        ({"history": History(count=1.5)}, "count"),  # type: ignore[arg-type]
        ({"history": History(count=None)}, "count"),  # type: ignore[arg-type]
        ({"limits": Limits(connections="1")}, "connections"),  # type: ignore[arg-type]
        ({"limits": Limits(event_size=None)}, "event_size"),  # type: ignore[arg-type]
        ({"slow": 5}, "slow"),
        ({"dumps": "json"}, "dumps"),
    ],
    ids=str,
)
def test_settings_of_a_wrong_type(options: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        Hub(**options)


def test_settings_that_work() -> None:
    Hub(history=History(count=0), topics={"a.*": History(age=None), "b.>": History(bytes=0)})
    Hub(limits=Limits(connections_per_key=None), heartbeat=None, retry=0, name="x")
    Hub(heartbeat=0.5, history=History(age=0.5), slow="conflate")


@pytest.mark.parametrize("value", [History(), Limits(), pattern("a.*")])
def test_options_are_frozen_and_comparable(value: Any) -> None:
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, 5)
    assert value == dataclasses.replace(value)
    assert hash(value) == hash(dataclasses.replace(value))


@pytest.mark.parametrize(
    "name", ["", "x" * 257, "é" * 129, "a\nb", "a\0", "\x7f", "a\x1fb", "\x85", "\t"]
)
def test_bad_topic_names(name: str) -> None:
    hub = Hub()
    with pytest.raises(ArgumentError, match="topic"):
        hub.publish(name, "x")
    with pytest.raises(ArgumentError, match="topic"):
        hub.publish(["fine", name], "x")
    with pytest.raises(ArgumentError, match="topic"):
        hub.subscribe(name)
    assert hub.topics() == []


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "a b", "*", "orders.*", ">", "a..b", "."])
def test_good_topic_names(name: str) -> None:
    hub = Hub()
    reader = hub.subscribe(name)
    hub.publish(name, "x")
    assert reader.get(timeout=5).data == "x"
    assert [topic.name for topic in hub.topics()] == [name]


@pytest.mark.parametrize("text", ["", "a..b", "a.>.b", "a.b*", ".a", "a.", "a\n", ">.a", "x" * 257])
def test_bad_patterns(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"pattern|topic"):
        Hub().subscribe(pattern(text))


def test_topics_are_given_as_text() -> None:
    hub = Hub()
    topic: Any
    for topic in (1, None, b"t", ["t"]):
        with pytest.raises(TypeError, match="topic"):
            hub.subscribe(topic)
    for topic in (1, None, b"t", ["t", 1], {"t"}, {"t": 1}, iter("t")):
        with pytest.raises(TypeError, match="topic"):
            hub.publish(topic, "x")
    with pytest.raises(ArgumentError, match="at least one topic"):
        hub.subscribe()
    with pytest.raises(ArgumentError, match="at least one topic"):
        hub.publish([], "x")


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"on_gap": "skip"}, ArgumentError, "replay"),
        ({"slow": "drop"}, ArgumentError, "conflate"),
        ({"max_lag": 5}, ArgumentError, "event_size"),
        ({"max_lag": -5}, ArgumentError, "max_lag"),
        ({"max_lag": 2**70}, ArgumentError, "max_lag"),
        ({"max_lag": "1"}, TypeError, "max_lag"),
        ({"last_event_id": 5}, TypeError, "last_event_id"),
    ],
)
def test_options_of_a_subscription(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Hub().subscribe("t", **options)


def test_topics_per_subscription() -> None:
    hub = Hub(limits=Limits(topics_per_subscription=2))
    hub.subscribe("a", "b")
    with pytest.raises(LimitError, match=r"limits\.topics_per_subscription"):
        hub.subscribe("a", "b", "c")


@pytest.mark.parametrize(
    "id", ["", "x" * 129, "é", "a\tb", " a", "a ", "0123456789abcdef-1", "a\x7f"]
)
def test_bad_ids(id: str) -> None:
    with pytest.raises(ArgumentError, match="id"):
        Hub().publish("t", "x", id=id)


def test_drain_and_disconnect_check_their_arguments() -> None:
    hub = Hub()
    with pytest.raises(ArgumentError, match="key, topic"):
        hub.disconnect()
    with pytest.raises(ArgumentError, match="timeout"):
        hub.start_drain(timeout=-1)
    with pytest.raises(ArgumentError, match="spread"):
        hub.start_drain(spread=float("nan"))
    with pytest.raises(TypeError):
        hub.disconnect(key="k", event="bye")  # type: ignore[arg-type]
    assert hub.ready


def test_one_root_of_all_exceptions() -> None:
    for name in ssehub.__all__:
        value = getattr(ssehub, name)
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, SSEHubError)
            assert value.__doc__
    assert issubclass(HandoffError, RuntimeError)
