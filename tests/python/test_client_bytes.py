"""What comes over the wire: cut anywhere, compressed in all ways, and nothing but comments."""

from __future__ import annotations

import pytest

from client_scenes import DONE, QUICK, failure, read
from scripted import Peer, Scene, stream
from ssehub import (
    ClientError,
    ConnectError,
    DecodeError,
    DisconnectedError,
    ProtocolError,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
BODY = "id: 1\ndata: a\n\nid: 2\ndata: é\n\n".encode()
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SIZED = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


def sends(data: bytes) -> Scene:
    return lambda peer: peer.send(data)


@pytest.mark.parametrize("whole", [CHUNKED, SIZED], ids=["chunked", "sized"])
def test_a_response_that_is_cut_at_any_byte(whole: bytes) -> None:
    """What is complete is there, once; what is not is fetched again, from the last event on."""
    second = stream("data: last\n\n")
    for at in range(len(whole)):
        first = whole[:at]
        complete = sum(end in first for end in (b"data: a\n\n", "data: é\n\n".encode()))
        errors: list[ClientError] = []
        got, script = read(sends(first), second, DONE, reconnect=QUICK, on_error=errors.append)
        assert got == [*["a", "é"][:complete], "last"], at
        assert script.sent("last-event-id")[1] == [None, "1", "2"][complete], at
        kinds = (ConnectError, ProtocolError) if b"\r\n\r\n" not in first else DisconnectedError
        assert isinstance(errors[0], kinds), (at, errors)


@pytest.mark.parametrize("whole", [CHUNKED, SIZED], ids=["chunked", "sized"])
def test_a_response_that_comes_byte_by_byte(whole: bytes) -> None:
    def drip(peer: Peer) -> None:
        for at in range(len(whole)):
            peer.send(whole[at : at + 1])

    assert read(drip, reconnect=False)[0] == ["a", "é"]


def zstd(data: bytes) -> bytes:
    """A frame of one block, which is not compressed."""
    block = (len(data) << 3 | 1).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd\x20" + bytes([len(data)]) + block + data


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("br", bytes.fromhex("0b0680646174613a20736d616c6c0a0a03")),
        ("zstd", zstd(b"data: small\n\n")),
    ],
)
def test_compressed_in_other_ways(encoding: str, packed: bytes) -> None:
    scene = stream(packed, Content_Encoding=encoding)
    assert read(scene, compression=True, reconnect=False)[0] == ["small"]
    failure(DecodeError, stream(b"nonsense", Content_Encoding=encoding), reconnect=False)


@pytest.mark.parametrize("line", [b": beat\n", b":" + b"x" * 999_998 + b"\n", b":\r"])
def test_ten_megabytes_of_comments(line: bytes) -> None:
    def babble(peer: Peer) -> None:
        peer.head()
        block = line * (1_000_000 // len(line))
        for _ in range(10):
            peer.send(block)
        peer.send("data: at last\n\n")

    # They are nothing to keep, however many there are.
    assert read(babble, max_event_size=100, reconnect=False)[0] == ["at last"]


def test_ten_megabytes_of_comments_for_somebody_who_wants_them() -> None:
    count, size = 0, 0

    def note(comment: str) -> None:
        nonlocal count, size
        count += 1
        size += len(comment)

    def babble(peer: Peer) -> None:
        peer.head()
        for _ in range(100):
            peer.send((b": " + b"x" * 998 + b"\n") * 100)
        peer.send(b": " + b"y" * 10_000 + b"\ndata: at last\n\n")

    got, _ = read(babble, max_event_size=1000, on_comment=note, reconnect=False)
    assert got == ["at last"]
    # But for the one that is larger than anything may be.
    assert (count, size) == (10_000, 9_980_000)
