"""`Parser`, `iter_events`, `aiter_events`."""

from __future__ import annotations

import array
import itertools
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssehub import (
    ArgumentError,
    Event,
    EventTooLargeError,
    Parser,
    SSEHubError,
    aiter_events,
    encode,
    iter_events,
)

# Pieces that streams are made of, with everything that is special to a parser.
PIECES = st.lists(
    st.sampled_from(
        [
            *(
                b"data",
                b"event",
                b"id",
                b"retry",
                b"other",
                b":",
                b": ",
                b" ",
                b"\n",
                b"\r",
                b"\r\n",
            ),
            *(
                b"\n\n",
                b"x",
                b"12",
                b"\0",
                b"\xef\xbb\xbf",
                b"\xc3",
                b"\xa9",
                b"\xf0\x9f",
                b"\x98\x80",
            ),
            *(b"data: a\n\n", b"id: 7\n", b"retry: 5\r\n", b"\xff"),
        ]
    ),
    max_size=40,
).map(b"".join)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"))


def parse(*chunks: bytes) -> tuple[list[Event], str, int | None]:
    parser = Parser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return events, parser.last_event_id, parser.retry


@given(PIECES, st.data())
def test_chunks_do_not_matter(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    edges = [0, *cuts, len(stream)]
    assert parse(*(stream[a:b] for a, b in itertools.pairwise(edges))) == parse(stream)


@given(
    data=TEXT,
    event=st.none() | LINE.filter(lambda text: not text.startswith("ssehub:")),
    id=st.none() | LINE.filter(lambda text: "\0" not in text),
    retry=st.none() | st.integers(0, 2**53 - 1),
    comment=st.none() | TEXT,
)
@settings(max_examples=300)
def test_what_is_encoded_parses_back(
    data: str, event: str | None, id: str | None, retry: int | None, comment: str | None
) -> None:
    wire = encode(data, event=event, id=id, retry=retry, comment=comment)
    events, last_event_id, found_retry = parse(wire)
    plain = data.replace("\r\n", "\n").replace("\r", "\n")
    assert events == [Event(plain, event=event or "message", id=id or "")]
    assert (last_event_id, found_retry) == (id or "", retry)


@pytest.mark.parametrize(
    "chunk",
    [
        b"data: x\n\n",
        bytearray(b"data: x\n\n"),
        memoryview(b"data: x\n\n"),
        memoryview(b"..data: x\n\n")[2:],
        memoryview(b"d.a.t.a.:. .x.\n.\n.")[::2],
        array.array("B", b"data: x\n\n"),
    ],
)
def test_feed_takes_anything_with_bytes(chunk: bytes) -> None:
    assert [event.data for event in Parser().feed(chunk)] == ["x"]


@pytest.mark.parametrize("chunk", ["data: x\n\n", 5, None, 1.5, object(), [b"data"], {"a": 1}])
def test_feed_refuses_what_is_no_bytes(chunk: object) -> None:
    with pytest.raises(TypeError):
        Parser().feed(chunk)  # type: ignore[arg-type]


def test_close_drops_what_is_unfinished() -> None:
    parser = Parser()
    assert parser.feed(b"id: 4\n\ndata: never") == []
    parser.close()
    parser.close()
    assert parser.last_event_id == "4"
    with pytest.raises(SSEHubError, match="new parser"):
        parser.feed(b"\n\n")


def test_the_size_limit_is_a_typed_error_with_the_events_before() -> None:
    parser = Parser(max_event_size=10)
    with pytest.raises(EventTooLargeError) as caught:
        parser.feed(b"data: one\n\ndata: two\n\ndata: " + b"x" * 11)
    assert [event.data for event in caught.value.events] == ["one", "two"]
    assert isinstance(caught.value, ValueError)
    # It stays failed; nothing comes out twice.
    with pytest.raises(SSEHubError) as again:
        parser.feed(b"\n\ndata: three\n\n")
    assert list(getattr(again.value, "events", [])) == []


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1", None])
def test_bad_limits(limit: object) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        Parser(max_event_size=limit)  # type: ignore[arg-type]


def test_repr_and_defaults() -> None:
    parser = Parser()
    assert repr(parser) == "Parser(max_event_size=16777216)"
    assert (parser.last_event_id, parser.retry) == ("", None)
    with pytest.raises(AttributeError):
        parser.retry = 1  # type: ignore[misc]


def test_a_parser_survives_threads() -> None:
    parser, found = Parser(), []

    def feed() -> None:
        for _ in range(500):
            found.extend(parser.feed(b"data: x\n\n"))

    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.data for event in found] == ["x"] * 2000


def test_an_8_mib_line_in_small_pieces() -> None:
    # Quadratic work would take minutes here.
    parser, piece = Parser(), b"x" * 1460
    parser.feed(b"data: ")
    for _ in range(5745):
        assert parser.feed(piece) == []
    (event,) = parser.feed(b"\n\n")
    assert event.data is not None
    assert len(event.data) == 5745 * 1460


CHUNKS = [b"data: o", b"", b"ne\n\nda", b"ta: two\n\ndata: lost"]


def test_iter_events() -> None:
    assert [event.data for event in iter_events(CHUNKS)] == ["one", "two"]


def test_iter_events_is_as_lazy_as_its_source() -> None:
    taken = []

    def source() -> Iterator[bytes]:
        for chunk in CHUNKS:
            taken.append(chunk)
            yield chunk

    events = iter_events(source())
    assert taken == []
    assert next(events).data == "one"
    assert len(taken) == 3


def test_iter_events_yields_what_comes_before_an_error() -> None:
    events = iter_events([b"data: one\n\ndata: " + b"x" * 99], max_event_size=50)
    assert next(events).data == "one"
    with pytest.raises(EventTooLargeError):
        next(events)


def test_errors_of_the_source_come_through() -> None:
    def source() -> Iterator[bytes]:
        yield b"data: one\n\n"
        raise ConnectionResetError("gone")

    events = iter_events(source())
    assert next(events).data == "one"
    with pytest.raises(ConnectionResetError):
        next(events)


async def test_aiter_events() -> None:
    async def source() -> AsyncIterator[bytes]:
        for chunk in CHUNKS:
            yield chunk

    assert [event.data async for event in aiter_events(source())] == ["one", "two"]


async def test_aiter_events_yields_what_comes_before_an_error() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"data: one\n\ndata: " + b"x" * 99

    events = aiter_events(source(), max_event_size=50)
    assert (await anext(events)).data == "one"
    with pytest.raises(EventTooLargeError):
        await anext(events)


def test_arguments_are_checked_where_they_are_given() -> None:
    with pytest.raises(ArgumentError):
        list(iter_events([], max_event_size=0))
