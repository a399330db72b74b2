"""The routes beside `/events`, in FastAPI."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

from common import timed_calls
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, PlainTextResponse


def add_routes(app: FastAPI, publish: Callable[[str, str], None]) -> None:
    """`publish` takes an id and a text."""

    @app.post("/publish")
    async def publish_events(n: int, size: int, pause_ms: int = 0) -> Response:
        calls = []
        for nanoseconds in timed_calls(publish, n, size):
            calls.append(nanoseconds)
            if pause_ms:
                await asyncio.sleep(pause_ms / 1000)
        return JSONResponse({"calls": calls})

    @app.get("/fast")
    async def fast() -> Response:
        return PlainTextResponse("ok")

    @app.post("/gc", status_code=204)
    async def collect() -> None:
        gc.collect()
