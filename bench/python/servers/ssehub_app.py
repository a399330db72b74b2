"""ssehub in FastAPI. HANDOFF says who writes the sockets: detach, hold, or off for the app server.

Each client reads `news` and, where it says so, a topic of its own.
"""

from __future__ import annotations

import os

from common import EVENT, payload
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from routes import add_routes

from ssehub import Hub
from ssehub.fastapi import EventSourceResponse

handoff = os.environ["HANDOFF"]
hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


def publish(id: str, data: str) -> None:
    # The hub numbers its events itself.
    hub.publish("news", data, event=EVENT)


add_routes(app, publish)


@app.get("/events", response_class=EventSourceResponse)
async def events(topic: str | None = None) -> EventSourceResponse:
    topics = ("news", topic) if topic else ("news",)
    return EventSourceResponse(hub.subscribe(*topics), handoff=handoff)


@app.post("/private")
async def private(topic: str, size: int) -> Response:
    hub.publish(topic, payload(0, size), event=EVENT)
    return JSONResponse({"calls": []})


@app.get("/metrics")
async def metrics() -> Response:
    return PlainTextResponse(hub.metrics())
