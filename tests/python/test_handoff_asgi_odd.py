"""Servers and middlewares made otherwise than expected: the stream goes on in-loop, and nobody is the wiser."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest

from asgi_call import Call, app_for, closed
from ssehub import Event, Hub
from ssehub.handoff import asgi as handoff
from ssehub.handoff.transports import find_holder, has_read_request
from support import eventually, name_of

Message = MutableMapping[str, Any]


def raises(error: type[BaseException]) -> Any:
    def get(_: object) -> Any:
        raise error("odd")

    return property(get)


def odd(module: str, error: type[Exception], *names: str) -> Any:
    """An object with properties that raise."""
    members: dict[str, Any] = {name: raises(error) for name in names}
    return type("Odd", (), {"__module__": module, **members})()


class Unbound:
    """Stands for another object, as those of frameworks do, and there is none."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("working outside of request context")


def nameless() -> object:
    """Its class does not say where it is from."""
    meta = type("Meta", (type,), {"__module__": raises(RuntimeError)})
    return meta("Nameless", (), {})()


_NAMES = ("_transport", "transport", "_receive", "_send", "receive", "send", "writer", "protocol")
ODD = {
    "runtime": odd("starlette.odd", RuntimeError, *_NAMES),
    "key": odd("uvicorn.odd", KeyError, *_NAMES, "more_body"),
    "recursion": odd("hypercorn.odd", RecursionError, *_NAMES, "connection"),
    "gunicorn": odd("gunicorn.odd", OSError, "_complete", *_NAMES),
    "dunder": odd("elsewhere", RuntimeError, "__self__", "__func__", "__closure__", "__class__"),
    "closure": type("Odd", (), {"__closure__": 5, "__module__": "elsewhere"})(),
    "cells": type("Odd", (), {"__closure__": (1, object()), "__module__": "elsewhere"})(),
    "module": type("Odd", (), {"__module__": None})(),
    "unbound": Unbound(),
    "nameless": nameless(),
}


@pytest.mark.parametrize("name", ODD)
async def test_objects_on_the_way(name: str) -> None:
    hub, thing = Hub(), ODD[name]

    async def through(message: Message) -> None:
        # In the closure, and with it on the way to the server.
        assert thing is not None

    call = Call(app_for(hub), send=through)
    assert find_holder(through, thing) is None
    assert not has_read_request(through, thing)
    await call.until(lambda: len(call.messages) == 2)
    assert call.status == 200
    hub.publish("t", "x")
    await call.has("x")
    assert hub.stats().handoffs_refused == {"transport": 1}
    await call.leave()
    assert closed(hub, client=1)


@pytest.mark.parametrize("extensions", [[], 5, "ssehub.transport", {"ssehub.transport": Unbound()}])
async def test_extensions_that_are_none(extensions: object) -> None:
    hub = Hub()
    call = Call(app_for(hub))
    call.scope["extensions"] = extensions
    await call.until(lambda: len(call.messages) == 2)
    hub.publish("t", "x")
    await call.has("x")
    assert hub.stats().handoffs_refused == {"transport": 1}
    await call.leave()


class Server:
    """A server of HTTP/1.1 over a real socket, and its own transport: what the test wants, fails."""

    def __init__(self) -> None:
        self.client, self.socket = socket.socketpair()
        self.client.settimeout(10)
        self._transport: Any = self
        # What raises: before or after the head.
        self.fails: dict[str, Exception | object] = {}
        self.begun = False

    @property
    def transport(self) -> Any:
        self.try_to("get")
        return self._transport

    @transport.setter
    def transport(self, transport: Any) -> None:
        self.try_to("set" if transport is not self else "restore")
        self._transport = transport

    def try_to(self, what: str, otherwise: Any = None) -> Any:
        result = self.fails.get(what, otherwise)
        if isinstance(result, Exception):
            raise result
        return result

    # As a server.

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            self.begun = True
        else:
            body = message["body"]
            if body:
                self._transport.write(b"%x\r\n%b\r\n" % (len(body), body))
            if not message["more_body"]:
                self._transport.write(b"0\r\n\r\n")

    # As a transport.

    def get_extra_info(self, name: str) -> Any:
        return self.try_to(f"extra-{self.begun}", None if name == "ssl_object" else self)

    def fileno(self) -> Any:
        return self.try_to("fileno", self.socket.fileno())

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get_write_buffer_size(self) -> Any:
        return self.try_to("size", 0)

    def is_closing(self) -> Any:
        return self.try_to("closing", False)

    def close(self) -> None:
        self.try_to("close")

    def abort(self) -> None:
        self.try_to("abort")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.client.close()
    server.socket.close()


def serve(hub: Hub, server: Server, **options: Any) -> Call:
    call = Call(app_for(hub, **options), send=server.send)
    call.scope["extensions"] = {handoff.EXTENSION: server}
    return call


def received(server: Server, part: bytes) -> bytes:
    data = b""
    while part not in data:
        more = server.client.recv(65536)
        assert more, data
        data += more
    return data


async def test_nothing_odd(server: Server) -> None:
    hub = Hub()
    call = serve(hub, server)
    await eventually(lambda: hub.stats().connections_by_mode["detached"] == 1)
    hub.publish("t", "x")
    received(server, b"data: x\n\n")
    await call.leave()


@pytest.mark.parametrize("how", ["detach", "hold", "require"])
async def test_a_stream_that_ends_before_it_is_moved(server: Server, how: str) -> None:
    """There is nothing left to move, which is nobody's fault."""
    hub = Hub()

    async def late(message: Message) -> None:
        await server.send(message)
        if message.get("more_body"):
            hub.disconnect(key="k", event=Event("bye"))
            # The loop has been told, and keeps it for the stream.
            (host,) = hub._hosts
            (token,) = host._cutters
            host.put_back(token, host.take(token))

    call = Call(app_for(hub, key="k", handoff=how), send=late)
    call.scope["extensions"] = {handoff.EXTENSION: server}
    await call.end()
    assert call.terminated
    assert call.data() == ["bye"]
    assert hub.stats().handoffs_refused == {}
    assert closed(hub, kick=1)


ODDITIES: list[tuple[str, Any]] = [
    *((name, RuntimeError("odd")) for name in ("extra-False", "extra-True", "get", "set")),
    *((name, KeyError("odd")) for name in ("fileno", "size", "closing")),
    *((name, ZeroDivisionError()) for name in ("extra-True", "size", "closing")),
    ("extra-True", object()),
    ("fileno", "5"),
    ("fileno", None),
    ("fileno", 1 << 70),
    ("fileno", -1),
    ("size", "no number"),
]


@pytest.mark.parametrize("how", ["detach", "hold"])
@pytest.mark.parametrize(("what", "instead"), ODDITIES, ids=name_of)
async def test_a_transport_that_is_otherwise(
    server: Server, what: str, instead: object, how: str
) -> None:
    hub = Hub()
    told: list[tuple[str, str]] = []
    hub.on_close(lambda info: told.append((info.mode, info.reason)))
    server.fails[what] = instead
    call = serve(hub, server, handoff=how)
    await call.until(lambda: sum(hub.stats().handoffs_refused.values()) == 1)
    hub.publish("t", "x")
    await call.has("x")
    # Each byte once, and by the server alone.
    data = received(server, b"data: x\n\n\r\n")
    assert data.count(b"HTTP/1.1") == data.count(b"retry:") == 1
    assert hub.stats().connections_by_mode["in-loop"] == 1
    await call.leave()
    assert told == [("in-loop", "client")]


async def test_a_transport_that_cannot_be_put_back(server: Server) -> None:
    """Only its descriptor is needed then. What the server still writes, goes where it always went."""
    hub = Hub()
    server.fails["restore"] = RuntimeError("odd")
    call = serve(hub, server)
    await eventually(lambda: hub.stats().connections_by_mode["detached"] == 1)
    recorder = server._transport
    assert recorder is not server
    recorder.write(b"")
    assert recorder.written() is None, "it remembers nothing any more"
    await call.leave()


@pytest.mark.parametrize(("how", "mode"), [("detach", "detached"), ("hold", "held")])
async def test_a_transport_that_cannot_be_closed(server: Server, how: str, mode: str) -> None:
    """The engine has the stream, whatever the server does with its own end."""
    hub = Hub()
    server.fails.update(close=RuntimeError("odd"), abort=RuntimeError("odd"))
    call = serve(hub, server, handoff=how)
    await eventually(lambda: hub.stats().connections_by_mode[mode] == 1)
    hub.publish("t", "x")
    received(server, b"data: x\n\n")
    await call.leave()


def test_a_client_that_cannot_be_cut_off(server: Server) -> None:
    server.fails["abort"] = RuntimeError("odd")
    for offered in (server, Unbound(), None):
        handoff.cut_off({"extensions": {handoff.EXTENSION: offered}}, None, None)


@pytest.mark.parametrize("at", ["http.response.start", "http.response.body"])
@pytest.mark.parametrize("error", [RuntimeError, KeyError])
async def test_what_the_application_s_own_send_raises(
    server: Server, at: str, error: type[Exception]
) -> None:
    """It is the application's, as everywhere, and no reason to stay in-loop."""
    hub = Hub()
    send: Callable[[Message], Any] = server.send

    async def failing(message: Message) -> None:
        if message["type"] == at:
            raise error("its own")
        await send(message)

    call = Call(app_for(hub), send=failing)
    call.scope["extensions"] = {handoff.EXTENSION: server}
    with pytest.raises(error, match="its own"):
        await call.end()
    assert hub.stats().handoffs_refused == {}
    assert closed(hub, error=1)
    assert server.transport is server
