"""The data rule: one for `Event`, `encode`, `publish` and what iterables yield."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import uuid
from collections import OrderedDict, defaultdict, deque, namedtuple
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any

import pydantic
import pytest

from ssehub import ArgumentError, Event, Hub, encode
from support import name_of

UTC = datetime.timezone.utc
MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str, enum.Enum):  # StrEnum, but for Python 3.10
    ONE = "one"


class Item(pydantic.BaseModel):
    name: str = pydantic.Field(alias="itemName")
    price: decimal.Decimal = decimal.Decimal("1.50")
    made: datetime.datetime = MOMENT


class Number(pydantic.BaseModel):
    value: float


class Numbers(pydantic.RootModel[list[int]]):
    pass


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    at: datetime.date
    point: Point


@pydantic.dataclasses.dataclass
class Checked:
    name: Annotated[str, pydantic.Field(min_length=1)]


Pair = namedtuple("Pair", "a b")

TEXTS = [
    ("text", "text"),
    ('{"a": 1}', '{"a": 1}'),
    ("", ""),
    (b"bytes \xc3\xa9", "bytes é"),
    (bytearray(b"array"), "array"),
    (memoryview(b"view"), "view"),
    (Text.ONE, "one"),
]
JSON = [
    ({}, "{}"),
    ({"a": 1, "b": [1, 2.5, None, True]}, '{"a":1,"b":[1,2.5,null,true]}'),
    (["é", "😀", "\u2028", "<a&b>"], '["é","😀","\u2028","<a&b>"]'),
    ((1, 2), "[1,2]"),
    (1, "1"),
    (1.5, "1.5"),
    (10**30, "1" + "0" * 30),
    (True, "true"),
    (Colour.RED, '"red"'),
    (Level.HIGH, "3"),
    ({"c": Colour.RED, "t": Text.ONE}, '{"c":"red","t":"one"}'),
    (MOMENT, '"2026-01-02T03:04:05.000678+00:00"'),
    (datetime.date(2026, 1, 2), '"2026-01-02"'),
    (datetime.time(3, 4, 5), '"03:04:05"'),
    (datetime.timedelta(minutes=1.5), "90.0"),
    (UUID, f'"{UUID}"'),
    (decimal.Decimal("1.50"), "1.5"),
    (decimal.Decimal(7), "7"),
    (decimal.Decimal("1E+3"), "1000"),
    (PurePosixPath("/a/b"), '"/a/b"'),
    (IPv4Address("127.0.0.1"), '"127.0.0.1"'),
    ({3}, "[3]"),
    (frozenset({"x"}), '["x"]'),
    (deque([1, 2]), "[1,2]"),
    (OrderedDict(a=1), '{"a":1}'),
    (defaultdict(int, a=1), '{"a":1}'),
    (MappingProxyType({"a": 1}), '{"a":1}'),
    (Pair(1, 2), "[1,2]"),
    (Point(1, [Point(2)]), '{"x":1,"y":[{"x":2,"y":null}]}'),
    (
        Frozen(datetime.date(2026, 1, 2), Point(1)),
        '{"at":"2026-01-02","point":{"x":1,"y":null}}',
    ),
    (
        Item(itemName="x"),
        '{"itemName":"x","price":"1.50","made":"2026-01-02T03:04:05.000678Z"}',
    ),
    (
        [Item(itemName="x", price=2)],
        '[{"itemName":"x","price":"2","made":"2026-01-02T03:04:05.000678Z"}]',
    ),
    (Numbers([1, 2]), "[1,2]"),
    (Checked(name="x"), '{"name":"x"}'),
    (
        {"deep": {"id": UUID, "at": [MOMENT.date()]}},
        f'{{"deep":{{"id":"{UUID}","at":["2026-01-02"]}}}}',
    ),
    ({1: "a", 2.5: "b", False: "c", None: "d"}, '{"1":"a","2.5":"b","false":"c","null":"d"}'),
    ({UUID: 1}, f'{{"{UUID}":1}}'),
    ({Colour.RED: {datetime.date(2026, 1, 2): UUID}}, f'{{"red":{{"2026-01-02":"{UUID}"}}}}'),
    ({"list": [{UUID: Point(1)}]}, f'{{"list":[{{"{UUID}":{{"x":1,"y":null}}}}]}}'),
    ({"b": b"nested"}, '{"b":"nested"}'),
]


def told(data: object) -> tuple[str | None, ...]:
    """What each way in makes of the same data."""
    hub = Hub()
    reader = hub.subscribe("t")
    hub.publish("t", data)
    wire = encode(data).decode()
    lines = [line.removeprefix("data: ") for line in wire.removesuffix("\n\n").split("\n")]
    return Event(data).data, "\n".join(lines), reader.get(timeout=5).data


@pytest.mark.parametrize(("data", "expected"), TEXTS + JSON, ids=name_of)
def test_data(data: object, expected: str) -> None:
    assert told(data) == (expected,) * 3


def test_none_is_null_where_it_is_published() -> None:
    hub = Hub()
    reader = hub.subscribe("t")
    hub.publish("t", None)
    assert reader.get(timeout=5).data == "null"
    with pytest.raises(TypeError):
        hub.publish("t")  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match="without data"):
        hub.publish("t", Event(event="e"))


NAN, INF = float("nan"), float("inf")
CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "data",
    [
        *(NAN, INF, -INF, [NAN], {"a": {"b": [INF]}}, {NAN: 1}),
        *(Point(1, NAN), [Point(NAN)], Number(value=NAN), [Number(value=INF)]),
        *({"a": Number(value=-INF)}, decimal.Decimal("NaN"), [decimal.Decimal("Infinity")]),
        *({UUID: NAN}, Pair(1, INF), {NAN}),
        *(CIRCLE, b"\xff", bytearray(b"\xc3"), [b"\xff"]),
    ],
    ids=repr,
)
def test_what_json_cannot_say(data: object) -> None:
    hub = Hub()
    for send in (Event, encode, lambda value: hub.publish("t", value)):
        with pytest.raises(ArgumentError):
            send(data)
    assert hub.stats().published == 0


@pytest.mark.parametrize(
    "data",
    [
        *(object(), [object()], {"a": object()}, {object(): 1}, 1j, fractions.Fraction(1, 2)),
        *(Point, Item, len, (x for x in "ab"), {frozenset({1}): 1}, Exception("x")),
    ],
    ids=lambda data: type(data).__name__,
)
def test_other_objects_raise_and_say_what_to_do(data: object) -> None:
    hub = Hub()
    for send in (Event, encode, lambda value: hub.publish("t", value)):
        with pytest.raises(TypeError, match=r"publish a dict.*dumps="):
            send(data)
    assert hub.stats().published == 0


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]
    try:
        with pytest.raises(ArgumentError, match="JSON"):
            encode(deep)
    finally:
        # Taken apart by hand: freeing it in one go may exhaust the stack of old Pythons.
        while deep:
            deep = deep.pop()


def test_dumps_replaces_json() -> None:
    hub = Hub(dumps=lambda value: f"<{value!r}>")
    reader = hub.subscribe("t")
    for data in (1, None, {"a": 1}, object, "text", b"bytes"):
        hub.publish("t", data)
    got = [reader.get(timeout=5).data for _ in range(6)]
    # Text is text still.
    assert got == ["<1>", "<None>", "<{'a': 1}>", "<<class 'object'>>", "text", "bytes"]


def test_dumps_may_give_bytes() -> None:
    hub = Hub(dumps=lambda value: b"\xc3\xa9")
    reader = hub.subscribe("t")
    hub.publish("t", 1)
    assert reader.get(timeout=5).data == "é"


@pytest.mark.parametrize("result", [1, None, object()])
def test_dumps_must_give_text(result: object) -> None:
    with pytest.raises(TypeError, match="dumps must return"):
        Hub(dumps=lambda value: result).publish("t", 1)  # type: ignore[arg-type,return-value]


def test_errors_of_dumps_come_through() -> None:
    def dumps(value: object) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Hub(dumps=dumps).publish("t", 1)
    with pytest.raises(TypeError, match="dumps"):
        Hub(dumps="json")  # type: ignore[arg-type]
