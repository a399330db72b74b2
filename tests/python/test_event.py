"""`Event`, `encode`: the fields, and what cannot be one."""

from __future__ import annotations

import copy
import enum
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pydantic
import pytest

import ssehub
from ssehub import ArgumentError, Event, Hub, Limits, SSEHubError, encode
from support import name_of

SURROGATE = "a\ud800b"


class Item(pydantic.BaseModel):
    title: str
    count: int = 1


def test_all_fields() -> None:
    event = Event("a\nb", event="note", id="7", retry=5, comment="c")
    assert (event.data, event.event, event.id, event.retry, event.comment) == (
        *("a\nb", "note", "7"),
        *(5, "c"),
    )
    assert event.encode() == b": c\nid: 7\nevent: note\nretry: 5\ndata: a\ndata: b\n\n"
    assert encode(event) == event.encode()


def test_none_and_absent_are_no_data() -> None:
    assert Event(id="1").data is None
    assert Event(None, id="1") == Event(id="1")
    assert encode(None, id="1") == encode(id="1") == b"id: 1\n\n"
    assert encode("") == b"data: \n\n"


def test_an_event_with_nothing_cannot_be_sent() -> None:
    with pytest.raises(ArgumentError, match="needs data"):
        encode()
    with pytest.raises(ArgumentError, match="needs data"):
        Event().encode()


def test_frozen() -> None:
    event = Event("x")
    for name in ("data", "event", "id", "retry", "comment", "other"):
        with pytest.raises(AttributeError):
            setattr(event, name, "y")
        with pytest.raises(AttributeError):
            delattr(event, name)


def test_comparable_and_hashable() -> None:
    fields: dict[str, Any] = {"data": "x", "event": "e", "id": "1", "retry": 2, "comment": "c"}
    assert Event(**fields) == Event(**fields)
    assert hash(Event(**fields)) == hash(Event(**fields))
    for name in fields:
        other = Event(**{**fields, name: 3 if name == "retry" else "other"})
        assert other != Event(**fields)
    assert Event("x") != "x"
    assert Event("x") != None  # noqa: E711 - the operator is what is tested
    assert len({Event("x"), Event("x"), Event("y")}) == 2
    with pytest.raises(TypeError):
        Event("x") < Event("y")  # noqa: B015


@pytest.mark.parametrize(
    "event",
    [
        Event(),
        Event("é😀\n\0"),
        Event("x", event="e", id="", retry=0, comment="a\nb"),
        ssehub.Parser().feed(b"event: ssehub:gap\nid: 5\ndata: {}\n\n")[0],
        ssehub.Parser().feed(b"data: x\n\n")[0],
    ],
)
def test_pickle_and_copy(event: Event) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(event, protocol)) == event
    assert copy.copy(event) == event
    assert copy.deepcopy(event) == event


def test_repr_can_be_evaluated() -> None:
    event = Event("it's\n", event="e", id="1", retry=2, comment="c")
    assert repr(event) == "Event(\"it's\\n\", event='e', id='1', retry=2, comment='c')"
    assert eval(repr(event)) == event
    assert repr(Event()) == "Event()"


def test_json() -> None:
    assert Event('{"a":[1,"é"]}').json() == {"a": [1, "é"]}
    assert Event(None, id="1").id == "1"
    with pytest.raises(ArgumentError, match="no data"):
        Event(id="1").json()
    with pytest.raises(ValueError, match="Expecting value"):
        Event("not json").json()


def test_json_validated() -> None:
    event = Event({"title": "x", "count": "3"})
    assert event.json(Item) == Item(title="x", count=3)
    assert Event([1, "2"]).json(list[int]) == [1, 2]
    assert Event("5").json(int | None) == 5
    with pytest.raises(pydantic.ValidationError):
        Event({}).json(Item)


def test_text_is_made_plain() -> None:
    class Shout(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "loud"

    class Colour(str, enum.Enum):
        RED = "red"

    for value, expected in ((Shout("quiet"), "quiet"), (Colour.RED, "red")):
        event = Event(value, event=value, id=value, comment=value)
        assert event == Event(expected, event=expected, id=expected, comment=expected)
        assert encode(value) == f"data: {expected}\n\n".encode()
        for field in (event.data, event.event, event.id, event.comment):
            assert type(field) is str
            assert field == expected


# What could inject.

INJECTIONS = [
    *({"event": f"a{end}data: x"} for end in ("\n", "\r", "\r\n")),
    *({"id": f"a{end}data: x"} for end in ("\n", "\r", "\r\n", "\0")),
    *({"event": end} for end in ("\n", "\r")),
    *({"event": f"ssehub:{name}"} for name in ("", "gap", "error")),
    *({"retry": value} for value in (-1, 2**53, 2**64, 2**200, -(2**200))),
]
WRONG_TYPES = [
    *({"event": value} for value in (1, b"x", ["x"], True, object())),
    *({"id": value} for value in (1, b"x", 1.5)),
    *({"retry": value} for value in (1.5, "1", b"1", True, False, 3.0, object())),
    *({"comment": value} for value in (1, b"x")),
]


def senders() -> list[Callable[..., object]]:
    hub = Hub()
    return [
        Event,
        encode,
        lambda data=None, **fields: hub.publish("t", data, **fields),
        lambda data=None, **fields: hub.publish_wait("t", data, **fields),
    ]


@pytest.mark.parametrize("fields", INJECTIONS, ids=str)
def test_injection_is_an_error(fields: dict[str, Any]) -> None:
    (name,) = fields
    for send in senders():
        with pytest.raises(ArgumentError, match=name) as caught:
            send("x", **fields)
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, SSEHubError)


@pytest.mark.parametrize("fields", WRONG_TYPES, ids=name_of)
def test_wrong_types(fields: dict[str, Any]) -> None:
    (name,) = fields
    if name == "comment":
        for send in (Event, encode):
            with pytest.raises(TypeError, match=name):
                send("x", **fields)
        return
    for send in senders():
        with pytest.raises(TypeError, match=name):
            send("x", **fields)


def test_data_and_comments_cannot_inject() -> None:
    evil = "x\nid: 1\r\nevent: e\rretry: 1\n\ndata: y"
    (event,) = ssehub.Parser().feed(encode(evil, comment=evil))
    assert event == Event(evil.replace("\r\n", "\n").replace("\r", "\n"), event="message", id="")


def test_retry_takes_what_is_an_int() -> None:
    class Milliseconds(enum.IntEnum):
        SHORT = 10

    assert encode(retry=Milliseconds.SHORT) == b"retry: 10\n\n"
    assert encode(retry=2**53 - 1) == b"retry: 9007199254740991\n\n"
    assert Event(retry=0).retry == 0


@pytest.mark.parametrize("field", ["data", "event", "id", "comment"])
def test_lone_surrogates_raise(field: str) -> None:
    for make in (Event, encode):
        with pytest.raises(ArgumentError, match="surrogate"):
            make(**{"data": "x", field: SURROGATE})


@pytest.mark.parametrize(
    "data", [SURROGATE, {"a": SURROGATE}, {SURROGATE: 1}, [SURROGATE], "\udfff", "x" * 9 + "\ud83d"]
)
def test_lone_surrogates_in_data_raise(data: object) -> None:
    for send in senders():
        with pytest.raises(ArgumentError, match="surrogate"):
            send(data)


def test_lone_surrogates_in_the_rest_of_publish_raise() -> None:
    hub = Hub()
    fields: dict[str, Any]
    for fields in ({"event": SURROGATE}, {"id": SURROGATE}, {"key": SURROGATE}):
        with pytest.raises(ValueError, match="surrogate"):
            hub.publish("t", "x", **fields)
    for topic in (SURROGATE, ["t", SURROGATE]):
        with pytest.raises(ValueError, match="surrogate"):
            hub.publish(topic, "x")
    for call in (
        lambda: hub.subscribe(SURROGATE),
        lambda: hub.subscribe("t", last_event_id=SURROGATE),
        lambda: hub.subscribers(SURROGATE),
        lambda: hub.disconnect(topic=SURROGATE),
        lambda: hub.disconnect(key=SURROGATE),
        lambda: hub.topics(SURROGATE),
    ):
        with pytest.raises(ValueError, match=r"surrogate|codec can't encode"):
            call()


def test_unpaired_surrogates_that_pair_up_are_still_two() -> None:
    with pytest.raises(ArgumentError):
        encode("\ud83d\ude00")


def test_an_event_is_given_alone() -> None:
    hub = Hub()
    with pytest.raises(TypeError, match="give it alone"):
        encode(Event("x"), event="e")
    with pytest.raises(TypeError, match="give it alone"):
        hub.publish("t", Event("x"), event="e")


def test_the_hub_s_size_limit() -> None:
    hub = Hub(limits=Limits(event_size=1000))
    hub.publish("t", "x" * 900)
    with pytest.raises(ssehub.EventTooLargeError, match=r"limits\.event_size"):
        hub.publish("t", "x" * 1000)
    assert hub.stats().published == 1


def test_no_reference_is_left_behind() -> None:
    text = "x" * 1000
    before = sys.getrefcount(text)
    for _ in range(100):
        Event(text)
        encode(text)
    assert sys.getrefcount(text) == before
