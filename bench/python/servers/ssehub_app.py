"""ssehub in FastAPI, in-loop: the app server writes the sockets."""

from __future__ import annotations

from common import EVENT, add_routes
from fastapi import FastAPI

from ssehub import Hub
from ssehub.fastapi import EventSourceResponse

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


def publish(id: str, data: str) -> None:
    # The hub numbers its events itself.
    hub.publish("news", data, event=EVENT)


add_routes(app, publish)


@app.get("/events", response_class=EventSourceResponse)
async def events() -> EventSourceResponse:
    return EventSourceResponse(hub.subscribe("news"), handoff="off")
