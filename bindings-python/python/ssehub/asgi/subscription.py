"""A subscription's stream: the hub decides what goes out, this writes it, or has the engine write it.

Each stream begins here, in the server's event loop. Once its first bytes are known to have reached the socket, it is
moved to the engine; where that is not possible, the same stream goes on here.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, cast

from ssehub._ssehub import End, Gap
from ssehub.asgi.stream import Message, Stream, answer, header, last_event_id, without_type
from ssehub.errors import DrainingError, HandoffError, LimitError
from ssehub.handoff.asgi import PATIENCE, Taking, cut_off, has_no_socket
from ssehub.handoff.refusals import Refused, explain, refuse
from ssehub.http import WRITE_TIMEOUT, announces, refusal, snapshot_bytes, start
from ssehub.options import milliseconds
from ssehub.shutdown import shutdown
from ssehub.subscription import Subscription

__all__ = ["SubscriptionStream"]


class SubscriptionStream(Stream):
    """One response to one client."""

    __slots__ = (
        "asking",
        "host",
        "hub",
        "mode",
        "reason",
        "source",
        "tag",
        "token",
        "waiting",
    )

    def __init__(self, source: Subscription, *args: Any) -> None:
        super().__init__(*args)
        self.source = source
        self.hub = source.hub
        self.host = self.hub._host()
        self.token = 0
        # Of a stream that the engine writes while the server holds its connection.
        self.tag = 0
        # Who has the socket, once that is known.
        self.mode = ""
        self.reason = "client"
        # Whether the task waits for the hub, where it can be woken without being cancelled.
        self.waiting = False
        # Whether the snapshot is being made: what it raises is its own.
        self.asking = False

    async def run(self) -> None:
        """Streams to the end. What is in-loop is in one coroutine: each level costs every client memory."""
        hub, host, send = self.hub, self.host, self.send
        try:
            token = self._attach()
        except (DrainingError, LimitError) as error:
            await self._refuse(error)
            return
        reason = "error"
        try:
            self._start_listening()
            # Before the head: if it fails, the framework may still answer with an error page.
            first = await self._first()
            if await self._hand_off(first):
                return
            while not self.gone:
                delivery = host.take(token)
                if delivery is None:
                    self.waiting = True
                    delivery = await host.wait(token)
                    self.waiting = False
                if type(delivery) is bytes:
                    await send({"type": "http.response.body", "body": delivery, "more_body": True})
                elif isinstance(delivery, Gap):
                    # The snapshot bears the position, and the gap none.
                    await self._body(delivery.frame + await self._snapshot())
                elif isinstance(delivery, End):
                    self.reason = delivery.reason
                    await self._finish(delivery.last or b"")
                    break
            reason = self.reason
        except asyncio.CancelledError:
            if self._is_handed_off() or not self._was_interrupted():
                # The server is done with the request.
                reason = "client" if hub.ready else "drain"
                raise
            reason = self.reason
        except OSError:
            if self.asking:
                raise
            # ASGI 2.4: what `send` raises once the client has gone.
            reason = "client"
        finally:
            self._stop_listening()
            if not self._is_handed_off():
                self._open("in-loop")
                info = host.remove(token, reason)
                hub._closed(info, self._path(), self.options.on_close)

    def _attach(self) -> int:
        hub, options = self.hub, self.options
        shutdown.watch(hub)
        given = last_event_id(self.scope)
        self.token = self.host.add(
            start(self.source, options, given),
            self._cut,
            key=options.key,
            retry=hub._retry,
            announce_position=announces(self.source, options, given),
            heartbeat=milliseconds(options.heartbeat, "heartbeat"),
            max_age=milliseconds(options.max_age, "max_age"),
            expires_in=options.expires_in(),
            write_timeout=WRITE_TIMEOUT,
            connection=True,
        )
        return self.token

    async def _first(self) -> bytes:
        """What the stream begins with: the opening block, and a snapshot unless the client can resume."""
        # There is one always, and alone: it has the reconnection time.
        opening = cast("bytes", self.host.take(self.token))
        if self.options.snapshot is None or not self.host.selector.needs_snapshot(self.token):
            return opening
        return opening + await self._snapshot()

    async def _snapshot(self) -> bytes:
        if self.options.snapshot is None:
            return b""
        at = self.host.selector.position(self.token)
        self.asking = True
        items = await _call_aside(self.options.snapshot)
        self.asking = False
        return snapshot_bytes(self.hub, items, at)

    # Who has the socket.

    async def _hand_off(self, first: bytes) -> bool:
        """Sends the head and what comes first. True where the engine took over, and the request is done with."""
        try:
            taking = self._take()
        except Refused as refused:
            self._stay(refused)
            taking = None
        if taking is None:
            await self.send(self.head)
            self._open("in-loop")
            await self._body(first)
            return False
        try:
            with taking:
                await self.send(self._head())
                await self._prove(taking, first)
                if self.options.snapshot is not None and not await self._pass_gap(taking):
                    return False
                held = self._move(taking)
        except Refused as refused:
            self._stay(refused)
            self._open("in-loop")
            return False
        except _Over:
            # No refusal: the end comes next.
            self._open("in-loop")
            return False
        if held is None:
            # Only its descriptor: to the server it looks as if the client had left.
            await self._part(taking.let_go)
        else:
            await self._hold(taking, held)
        return True

    def _take(self) -> Taking | None:
        if self.options.handoff == "off" or has_no_socket(self.scope):
            return None
        return Taking(self.scope, self.receive, self.send)

    def _stay(self, refused: Refused) -> None:
        """The stream stays with the server, if that is good enough."""
        refuse(self.hub, refused.reason, refused.detail)
        if self.options.handoff == "require":
            raise HandoffError(
                f"handoff='require': {explain(refused.reason, refused.detail)}"
            ) from refused

    def _head(self) -> Message:
        """The head of a response whose connection is to be taken: the server will see no further request on it."""
        headers = self.head["headers"]
        if (
            self.options.handoff == "hold"
            or self.scope["http_version"] == "1.0"
            or any(name == b"connection" for name, _ in headers)
        ):
            return self.head
        return {**self.head, "headers": [*headers, (b"connection", b"close")]}

    async def _prove(self, taking: Taking, body: bytes) -> None:
        await self._body(body)
        await taking.prove(body)

    async def _pass_gap(self, taking: Taking) -> bool:
        """Writes what comes next, since with a gap comes a snapshot, which the engine has not. False at the end."""
        delivery = self.host.take(self.token)
        if isinstance(delivery, End):
            self.host.put_back(self.token, delivery)
            return False
        if isinstance(delivery, Gap):
            await self._prove(taking, delivery.frame + await self._snapshot())
        elif delivery is not None:
            await self._prove(taking, delivery)
        return True

    def _move(self, taking: Taking) -> asyncio.Future[bool] | None:
        """Moves the stream to the engine. For a connection that the server holds: the future of its end."""
        options = self.options
        hold = options.handoff == "hold"
        held = asyncio.get_running_loop().create_future() if hold else None
        position = self.host.selector.position(self.token) or ""
        descriptor = taking.fileno()
        try:
            self.tag = self.host.hand_off(
                self.token,
                taking.slot,
                descriptor,
                chunked=bool(taking.chunked),
                snapshot=options.snapshot is not None,
                label=self._path(),
                on_close=options.on_close,
                held=held,
            )
        except FileNotFoundError:
            raise _Over from None
        except (OSError, OverflowError, ValueError) as error:
            raise Refused("error", str(error)) from error
        self._open("held" if hold else "detached", position)
        return held

    async def _hold(self, taking: Taking, held: asyncio.Future[bool]) -> None:
        """Waits for the stream's end, then ends the response in the server's way."""
        try:
            clean = await held
        except asyncio.CancelledError:
            self.host.let_go(self.tag, "client" if self.hub.ready else "drain")
            raise
        if not clean:
            await self._part(taking.cut)
        elif not self.gone:
            await self._finish()

    async def _part(self, close: Callable[[], None]) -> None:
        """Closes the server's end, and waits until it knows: it would complain of a response that just stops."""
        self.gone = True
        close()
        assert self.listener is not None
        await asyncio.wait([self.listener], timeout=PATIENCE)

    def _is_handed_off(self) -> bool:
        return self.mode in ("detached", "held")

    def _open(self, mode: str, position: str | None = None) -> None:
        """Tells of the stream, once."""
        if not self.mode:
            self.mode = mode
            if position is None:
                position = self.host.selector.position(self.token) or ""
            self.hub._opened(self.options.key, self.source.topics, position, mode)

    def _path(self) -> str:
        return str(self.scope.get("path", ""))

    # The end.

    async def _refuse(self, error: Exception) -> None:
        accept = header(self.scope, b"accept")
        status, body, retry_after = refusal(self.hub, error, accept, self.options.refuse)
        headers = self.head["headers"]
        if retry_after is not None:
            headers = [*without_type(self.head), (b"retry-after", retry_after.encode())]
        await answer(self.send, {**self.head, "status": status, "headers": headers}, body)

    def _interrupt(self) -> None:
        if self.mode == "held":
            self.host.let_go(self.tag, "client")
        elif not (self.waiting and self.host.interrupt(self.token)):
            super()._interrupt()

    def _cut(self, end: End) -> None:
        """The client takes nothing: no farewell would reach it."""
        self.reason = end.reason
        self.gone = True
        # Otherwise the server would wait for the client to take what is buffered.
        cut_off(self.scope, self.receive, self.send)
        super()._interrupt()


class _Over(Exception):  # noqa: N818 - an outcome, not an error
    """The stream has ended before it could be moved."""


async def _call_aside(function: Callable[[], Any]) -> Any:
    """Calls what may ask a database: a sync function in a worker thread, where it stops nobody."""
    if inspect.iscoroutinefunction(function):
        return await function()
    result = await asyncio.to_thread(function)
    return await result if inspect.isawaitable(result) else result
