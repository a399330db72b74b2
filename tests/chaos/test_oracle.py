"""The oracle, the journal and the wire can fail: each promise is broken once, and found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from journal import Journal
from oracle import Expectation, PromiseError, Reads
from wire import Response

A, B = "a" * 16, "b" * 16
BOTH = Reads(frozenset({"short", "mid"}))


def fresh(reads: Reads = BOTH, at: int = 10) -> Expectation:
    """A client that has begun to read at a position."""
    client = Expectation(reads)
    client.connect(None)
    client.open(f"{A}-{at}")
    return client


def event(client: Expectation, seq: int, *marks: str, epoch: str = A, now: float = 0) -> None:
    client.event("message", f"{epoch}-{seq}", f"{' '.join(marks)};xxx", now)


def gap(client: Expectation, to: str, given: str, reason: str = "expired", now: float = 0) -> None:
    data = json.dumps({"last_event_id": given, "reason": reason})
    client.event("ssehub:gap", to, data, now)


def again(client: Expectation, opening: str | None) -> None:
    """The client comes back with what it has."""
    client.connect(client.last)
    client.open(opening)


def test_nothing_is_wrong() -> None:
    client = fresh()
    # What was before the begin is not owed; other topics' events leave no holes.
    event(client, 11, "short=4/9")
    event(client, 15, "mid=7/3", "long=9/8")
    event(client, 16, "short=5/11", "mid=8/15")
    again(client, f"{A}-16")
    event(client, 20, "short=6/16")
    again(client, None)
    gap(client, f"{A}-40", f"{A}-20")
    event(client, 41, "short=19/40")
    again(client, None)
    gap(client, f"{B}-7", f"{A}-41", "unknown")
    event(client, 8, "mid=3/6", epoch=B)
    assert client.missing(B, {"short": 5, "mid": 8, "long": 99}, 0, True) is None
    assert len(client.holes) == 1


def test_a_gap_before_anything_else() -> None:
    """What came between the request and the stream is owed, and may be lost."""
    client = Expectation(BOTH)
    client.connect(None)
    client.open(None)
    gap(client, f"{A}-12", f"{A}-10")
    event(client, 13, "short=5/12", "mid=3/2")
    with pytest.raises(PromiseError):
        event(client, 15, "mid=5/14", epoch=B)
    client.connect(None)
    client.open(None)
    with pytest.raises(PromiseError, match="comes first"):
        event(client, 13, "short=5/12")


def hole(client: Expectation) -> None:
    event(client, 13, "short=6/12")


def hole_over_a_reconnect(client: Expectation) -> None:
    again(client, f"{A}-11")
    event(client, 13, "short=6/12")


def hole_in_one_of_two(client: Expectation) -> None:
    event(client, 13, "short=5/11", "mid=8/12")


def repeat(client: Expectation) -> None:
    event(client, 12, "short=5/11")
    event(client, 12, "short=5/11")


def repeat_over_a_reconnect(client: Expectation) -> None:
    again(client, f"{A}-11")
    event(client, 11, "short=4/9")


def repeat_after_a_gap(client: Expectation) -> None:
    again(client, None)
    gap(client, f"{A}-20", f"{A}-11")
    event(client, 15, "short=5/11")


def backwards(client: Expectation) -> None:
    event(client, 14, "mid=7/3")
    event(client, 13, "short=5/11")


def resumes_elsewhere(client: Expectation) -> None:
    again(client, f"{A}-12")


def resumes_in_another_life(client: Expectation) -> None:
    again(client, f"{B}-11")


def gap_goes_back(client: Expectation) -> None:
    gap(client, f"{A}-9", f"{A}-11")


def unknown_in_the_same_life(client: Expectation) -> None:
    again(client, None)
    gap(client, f"{A}-20", f"{A}-11", "unknown")


def another_life_without_a_gap(client: Expectation) -> None:
    event(client, 12, "short=5/11", epoch=B)


def lagged_without_skipping(client: Expectation) -> None:
    gap(client, f"{A}-12", f"{A}-11", "lagged")


def begins_without_a_gap(client: Expectation) -> None:
    again(client, None)
    event(client, 12, "short=5/11")


def another_topic(client: Expectation) -> None:
    event(client, 12, "long=5/11")


def uncalled_snapshot(client: Expectation) -> None:
    client.event("snapshot", f"{A}-12", "12;", 0)


@pytest.mark.parametrize(
    "breach",
    [
        hole,
        hole_over_a_reconnect,
        hole_in_one_of_two,
        repeat,
        repeat_over_a_reconnect,
        repeat_after_a_gap,
        backwards,
        resumes_elsewhere,
        resumes_in_another_life,
        gap_goes_back,
        unknown_in_the_same_life,
        another_life_without_a_gap,
        lagged_without_skipping,
        begins_without_a_gap,
        another_topic,
        uncalled_snapshot,
    ],
)
def test_a_broken_promise_is_found(breach: Callable[[Expectation], None]) -> None:
    client = fresh()
    event(client, 11, "short=4/9")
    with pytest.raises(PromiseError):
        breach(client)


def test_the_end_that_does_not_come() -> None:
    client = fresh()
    event(client, 11, "short=4/9")
    assert client.missing(A, {"short": 11, "mid": 10}, 0, True) is None
    assert "the end of mid" in str(client.missing(A, {"short": 11, "mid": 12}, 0, True))
    assert "still in" in str(client.missing(B, {}, 0, True))
    # What lies behind its position may come, until it must have.
    gap(client, f"{A}-11", f"{A}-11")
    assert client.missing(A, {"mid": 12}, 0, False) is not None
    assert client.missing(A, {"mid": 12}, 0, True) is None
    assert len(client.holes) == 1


def test_conflation() -> None:
    client = fresh(Reads(frozenset({"keyed"}), slow="conflate"))
    event(client, 11, "keyed=20/9")
    # 21 to 24 are left out: others of their keys must follow.
    event(client, 20, "keyed=25/19")
    assert "left out" in str(client.missing(A, {"keyed": 20}, 0, True))
    for n in range(26, 32):
        event(client, n - 5, f"keyed={n}/{n - 6}")
    assert client.missing(A, {"keyed": 26}, 0, True) is None


def test_snapshots() -> None:
    reads = Reads(frozenset({"short"}), snapshot=True)
    client = Expectation(reads)
    client.connect(None)
    client.open(None)
    with pytest.raises(PromiseError, match="what lies between"):
        client.event("snapshot", f"{A}-12", "11;", 0)
    client.event("snapshot", f"{A}-12", "13;", 0)
    event(client, 13, "short=5/11")
    again(client, None)
    gap(client, f"{A}-20", f"{A}-13")
    # Cut before the snapshot: it is still due.
    again(client, f"{A}-20")
    with pytest.raises(PromiseError, match="without the snapshot"):
        event(client, 21, "short=9/19")
    # Where the gap leaves the position to the snapshot, the client comes back as it was.
    client = Expectation(reads)
    client.connect(None)
    client.open(None)
    client.event("snapshot", f"{A}-12", "12;", 0)
    again(client, None)
    gap(client, f"{A}-12", f"{A}-12", "unknown")
    client.event("snapshot", f"{B}-3", "4;", 0)
    event(client, 4, "short=5/3", epoch=B)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """`short`, of which 20 are kept: an event a second, with an even number."""
    lines = [f"short {2 * n} {n}.0 100\n" for n in range(1, 101)]
    path = tmp_path / "life.journal"
    path.write_text("".join(lines))
    return Journal(path)


def told_of(position: int, to: int, now: float, reason: str = "expired") -> Expectation:
    client = fresh(Reads(frozenset({"short"})), at=position)
    if reason == "unknown":
        client.epoch = B
        client.connect(client.last)
        gap(client, f"{A}-{to}", f"{B}-{position}", reason, now)
    else:
        gap(client, f"{A}-{to}", f"{A}-{position}", reason, now)
    return client


def judged(journal: Journal, client: Expectation) -> list[str]:
    holes = [journal.judge_hole(hole, client.told) for hole in client.holes.values()]
    gaps = [journal.judge_gap(told) for told in client.told]
    return [what for what in [*holes, *gaps] if what is not None]


def test_a_gap_is_judged(journal: Journal) -> None:
    # At 90 s there are 90 events, 70 of them lost.
    right = told_of(100, 140, 90)
    event(right, 142, "short=71/140", now=90)
    assert len(right.holes) == 1
    assert judged(journal, right) == []
    # One more, which was still there.
    client = told_of(100, 140, 90)
    event(client, 144, "short=72/142", now=90)
    assert "the history still had" in judged(journal, client)[0]
    # Lost later than the gap was told, while the client was there.
    client = told_of(100, 140, 90)
    event(client, 142, "short=71/140", now=90)
    event(client, 146, "short=73/144", now=99)
    assert "which no gap event stands for" in judged(journal, client)[0]
    # Nothing was lost behind this position.
    client = told_of(150, 150, 90)
    assert "after which nothing was lost" in judged(journal, client)[0]


def test_an_unknown_id_gets_all_that_fits(journal: Journal) -> None:
    assert judged(journal, told_of(4, 140, 90, "unknown")) == []
    assert "left out behind" in judged(journal, told_of(4, 160, 90, "unknown"))[0]


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_the_wire() -> None:
    whole = HEAD + b"3\r\nabc\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n"
    for size in (1, 2, 7, len(whole)):
        response = Response()
        body = b"".join(response.feed(whole[at : at + size]) for at in range(0, len(whole), size))
        assert body == b"abc" + b"x" * 16
        assert response.complete
    response = Response()
    assert response.feed(HEAD + b"9\r\nabc") == b"abc"
    assert not response.end()


@pytest.mark.parametrize(
    "body",
    [
        b"3\r\nabcd\r\n",
        b"id: 1\r\n",
        b"0123456789abcdef",
        b"0\r\n\r\nHTTP/1.1 400 Bad Request\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_what_is_wrong_on_the_wire(body: bytes) -> None:
    with pytest.raises(PromiseError):
        Response().feed(HEAD + body)
