"""What must have been written before a socket is taken, and what is left behind where it is not."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import pytest

from ssehub import Hub, _ssehub
from ssehub.handoff import asgi as handoff
from ssehub.handoff.refusals import Refused, refuse
from ssehub.starlette import EventSourceResponse
from ssehub.testing import connect

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
BODY = b"retry: 5\nid: 1-0\n\n"
CHUNK = b"12\r\n" + BODY + b"\r\n"


class Transport:
    """A server's transport, as far as it is looked at."""

    def __init__(self, *, ssl: bool = False, flushes: bool = True) -> None:
        self.written = bytearray()
        self.buffered = 0
        self._ssl = ssl
        self._flushes = flushes

    def get_extra_info(self, name: str) -> object:
        return {"ssl_object": object() if self._ssl else None, "socket": self}.get(name)

    def write(self, data: bytes) -> None:
        self.written += data
        self.buffered = 5 if self._flushes else 10**9

    def writelines(self, lines: list[bytes]) -> None:
        self.write(b"".join(lines))

    def get_write_buffer_size(self) -> int:
        # Each look finds a little less.
        self.buffered = max(self.buffered - 1, 0)
        return self.buffered

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None: ...


class Server:
    """What writes through its transport."""

    def __init__(self, **transport: bool) -> None:
        self.transport: Any = Transport(**transport)


def scope(offered: object, **more: object) -> dict[str, Any]:
    extensions = {"ssehub.transport": offered}
    return {"http_version": "1.1", "headers": [], "extensions": extensions, **more}


def taking(server: object, **more: object) -> handoff.Taking:
    return handoff.Taking(scope(server, **more), None, None)


@pytest.mark.parametrize(
    ("written", "chunked"),
    [
        ([HEAD, CHUNK], True),
        ([HEAD + CHUNK], True),
        ([PLAIN, BODY], False),
        ([PLAIN[:10], PLAIN[10:] + BODY[:3], BODY[3:]], False),
        ([HEAD, CHUNK[:2], CHUNK[2:]], True),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", HEAD + CHUNK], True),
        ([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HEAD, CHUNK], True),
        ([HEAD.replace(b"chunked", b"Chunked"), CHUNK], True),
        ([HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: identity\r\n\r\n"), CHUNK], True),
    ],
    ids=str,
)
async def test_what_is_taken(written: list[bytes], chunked: bool) -> None:
    server = Server()
    transport = server.transport
    with taking(server) as attempt:
        proof = asyncio.create_task(attempt.prove(BODY))
        for part in written:
            assert not proof.done()
            server.transport.write(part)
            await asyncio.sleep(0)
        await proof
        assert attempt.chunked is chunked
        # And the next piece, in the same framing.
        server.transport.writelines([b"3\r\n", b":x\n", b"\r\n"] if chunked else [b":", b"x\n"])
        await attempt.prove(b":x\n")
        assert transport.buffered == 0
        assert server.transport is not transport
        assert handoff.find_transport(scope(server), None, None) is transport
    assert server.transport is transport
    assert bytes(transport.written).startswith(b"".join(written))


@pytest.mark.parametrize(
    "written",
    [
        HEAD + BODY,
        PLAIN + CHUNK,
        HEAD + CHUNK + b"0\r\n\r\n",
        HEAD + CHUNK.replace(b"12\r\n", b"12;x=1\r\n"),
        HEAD + CHUNK.replace(b"retry", b"RETRY"),
        HEAD + b"7\r\nretry: \r\nb\r\n5\nid: 1-0\n\n\r\n",
        HEAD + CHUNK + CHUNK,
        PLAIN + BODY + b":",
        HEAD.replace(b"chunked", b"gzip, chunked") + CHUNK,
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + CHUNK,
        PLAIN.replace(b"Connection: close", b"Content-Length: 17") + BODY,
    ],
    ids=str,
)
async def test_what_is_not(written: bytes) -> None:
    server = Server()
    transport = server.transport
    with taking(server) as attempt:
        server.transport.write(written)
        with pytest.raises(Refused) as refused:
            await attempt.prove(BODY)
    assert refused.value.reason == "body"
    assert server.transport is transport
    assert transport.written == written


@pytest.mark.parametrize("written", [b"", HEAD[:20], HEAD, HEAD + CHUNK[:7], PLAIN + BODY[:5]])
async def test_what_does_not_come_in_time(written: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handoff, "PATIENCE", 0.05)
    server = Server()
    with taking(server) as attempt:
        server.transport.write(written)
        with pytest.raises(Refused) as refused:
            await attempt.prove(BODY)
    assert refused.value.reason == "buffered"


async def test_what_stays_in_the_server_s_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handoff, "PATIENCE", 0.05)
    server = Server(flushes=False)
    with taking(server) as attempt:
        server.transport.write(HEAD + CHUNK)
        with pytest.raises(Refused) as refused:
            await attempt.prove(BODY)
    assert refused.value.reason == "buffered"


class ReadOnly:
    transport = property(lambda self: Transport())


@pytest.mark.parametrize(
    ("offered", "more", "reason"),
    [
        (Server(ssl=True), {}, "tls"),
        (Server(), {"http_version": "2"}, "http2"),
        (Server(), {"http_version": "3"}, "http2"),
        (object(), {}, "transport"),
        (ReadOnly(), {}, "transport"),
        (Server(), {"headers": [(b"content-length", b"5")]}, "method"),
        (Server(), {"headers": [(b"transfer-encoding", b"chunked")]}, "method"),
    ],
)
async def test_what_is_refused_before_the_head(
    offered: object, more: dict[str, object], reason: str
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Refused) as refused:
        taking(offered, **more)
    assert refused.value.reason == reason
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_request_without_a_body_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with taking(Server(), headers=[(b"content-length", b"0")]):
        pass
    monkeypatch.setattr(_ssehub, "Slot", _fails)
    with pytest.raises(Refused) as refused:
        taking(Server())
    assert refused.value.reason == "descriptors"


def _fails() -> None:
    raise OSError("Too many open files")


def test_a_refusal_is_counted_each_time_and_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssehub.handoff.refusals._said", set())
    hub, other = Hub(), Hub()
    with caplog.at_level(logging.INFO, "ssehub"):
        for _ in range(3):
            refuse(hub, "tls")
            refuse(other, "body", "content-encoding: gzip")
    assert hub.stats().handoffs_refused == {"tls": 3}
    assert other.stats().handoffs_refused == {"body": 3}
    first, second = (record.getMessage() for record in caplog.records)
    assert "'tls'" in first
    assert "reverse proxy" in first
    assert "(content-encoding: gzip)" in second


async def test_without_a_server_there_is_nothing_to_refuse(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = Hub()
    for kind in ("detach", "hold", "off", "require"):
        app = EventSourceResponse(hub.subscribe("t"), handoff=kind)  # type: ignore[arg-type]
        with caplog.at_level(logging.INFO, "ssehub"):
            async with connect(app, "/") as stream:
                hub.publish("t", "x")
                assert (await stream.next(timeout=1)).data == "x"
                assert hub.stats().connections_by_mode["in-loop"] == 1
    assert hub.stats().handoffs_refused == {}
    assert "stays with" not in caplog.text
