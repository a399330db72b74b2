"""The Python client as a test service of sse-contract-tests: see ../driver.py.

    python tests/contract/python/service.py [--port 8000] [--sync]

Each client runs in a task, with `async for`; with --sync in a thread, with `for`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ssehub import ClientError, Event, EventSource, Reconnect, SSEHubError, StreamEndedError

CAPABILITIES = [
    "204",
    "bom",
    "comments",
    "headers",
    "last-event-id",
    "post",
    "read-timeout",
    "report",
    "restart",
    "server-directed-shutdown-request",
]


class Client:
    """One client, and where it tells what it sees."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self._callbacks = urlsplit(wanted["callbackUrl"])
        self._numbers = itertools.count(1)
        # One after the other, so that a slow driver gets them in order as far as possible.
        self._sender = ThreadPoolExecutor(1)
        delay = wanted.get("initialDelayMs")
        read_timeout = wanted.get("readTimeoutMs")
        self.source = EventSource(
            wanted["streamUrl"],
            method=wanted.get("method") or "GET",
            headers=wanted.get("headers"),
            content=wanted.get("body"),
            last_event_id=wanted.get("lastEventId"),
            # What is asked for here is asked for explicitly: the harness expects it of POST, too.
            reconnect=Reconnect(when="always", delay=max((delay or 0) / 1000, 0.001))
            if delay is not None
            else True,
            timeout=None if read_timeout is None else read_timeout / 1000,
            on_error=self._failed,
            on_comment=self._commented,
        )

    def _failed(self, error: ClientError) -> None:
        # An orderly end is part of a stream's life.
        if not isinstance(error, StreamEndedError):
            self._send({"kind": "error", "error": str(error), "comment": str(error)})

    def _commented(self, text: str) -> None:
        self._send({"kind": "comment", "comment": text})

    def _got(self, event: Event) -> None:
        fields = {"type": event.event, "data": event.data, "id": event.id}
        self._send({"kind": "event", "event": fields})

    async def run(self) -> None:
        """Reads to the end, in a task."""
        try:
            async for event in self.source:
                self._got(event)
        except SSEHubError:
            pass  # `on_error` has told.

    def run_in_thread(self) -> None:
        """Reads to the end, in a thread."""
        try:
            for event in self.source:
                self._got(event)
        except SSEHubError:
            pass

    def close(self) -> None:
        self.source.close()
        self._sender.shutdown(wait=False)

    def _send(self, message: dict[str, Any]) -> None:
        self._sender.submit(self._post, next(self._numbers), json.dumps(message))

    def _post(self, number: int, body: str) -> None:
        connection = HTTPConnection(self._callbacks.hostname or "", self._callbacks.port)
        try:
            connection.request("POST", f"{self._callbacks.path}/{number}", body)
            connection.getresponse().read()
        except OSError:
            pass  # The driver has what it wanted, and is gone.
        finally:
            connection.close()


class Service:
    """All clients of a run."""

    def __init__(self, in_threads: bool, stop: Callable[[], None]) -> None:
        self._clients: dict[str, Client] = {}
        self._names = map(str, itertools.count(1))
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_threads = in_threads
        self._stop = stop

    async def status(self, _: Request) -> Response:
        return JSONResponse({"name": "ssehub-python", "capabilities": CAPABILITIES})

    async def create(self, request: Request) -> Response:
        try:
            client = Client(await request.json())
        except (KeyError, ValueError) as error:
            return Response(str(error), 400)
        name = next(self._names)
        self._clients[name] = client
        if self._in_threads:
            threading.Thread(target=client.run_in_thread, daemon=True).start()
        else:
            task = asyncio.create_task(client.run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return Response(status_code=201, headers={"Location": f"/clients/{name}"})

    async def command(self, request: Request) -> Response:
        client = self._clients.get(request.path_params["name"])
        if client is None:
            return Response(status_code=404)
        if (await request.json()).get("command") != "restart":
            return Response("the only command is restart", 400)
        client.source.restart()
        return Response(status_code=202)

    async def close(self, request: Request) -> Response:
        client = self._clients.pop(request.path_params["name"], None)
        if client is None:
            return Response(status_code=404)
        client.close()
        return Response(status_code=204)

    async def stop(self, _: Request) -> Response:
        for client in self._clients.values():
            client.close()
        self._stop()
        return Response(status_code=204)

    def routes(self) -> list[Route]:
        return [
            Route("/", self.status),
            Route("/", self.create, methods=["POST"]),
            Route("/", self.stop, methods=["DELETE"]),
            Route("/clients/{name}", self.command, methods=["POST"]),
            Route("/clients/{name}", self.close, methods=["DELETE"]),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--sync", action="store_true", help="threads and `for`")
    given = parser.parse_args()

    def stop() -> None:
        server.should_exit = True

    service = Service(given.sync, stop)
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=service.routes()),
            host=given.host,
            port=given.port,
            log_level="warning",
        )
    )
    server.run()


if __name__ == "__main__":
    main()
