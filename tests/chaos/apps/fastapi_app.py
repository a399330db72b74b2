"""The server under FastAPI."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from typing import Any

from fastapi import FastAPI
from publisher import Publisher, make_hub, subscribe
from starlette.responses import JSONResponse, Response

from ssehub.fastapi import EventSourceResponse

hub = make_hub()
publisher = Publisher(hub)
app = FastAPI(lifespan=hub.lifespan)
publisher.start()


@app.get("/events")
async def events(
    topics: str,
    slow: str,
    key: str,
    handoff: Any,
    pattern: str | None = None,
    snapshot: bool = False,
) -> Response:
    subscription = subscribe(hub, topics, pattern, slow)
    return EventSourceResponse(
        subscription,
        key=key,
        snapshot=publisher.snapshot if snapshot else None,
        handoff=handoff,
    )


@app.post("/stop")
def stop() -> str:
    publisher.stop()
    return "stopped"


@app.post("/drain")
async def drain() -> str:
    """As at the end of the server, which then goes on all the same."""
    async with hub.lifespan(app):
        pass
    await asyncio.sleep(0.5)
    hub._resume()
    return "drained"


@app.get("/stats")
async def stats() -> Response:
    found = dataclasses.asdict(hub.stats())
    return JSONResponse({**found, "told": publisher.told, "pid": os.getpid()})
