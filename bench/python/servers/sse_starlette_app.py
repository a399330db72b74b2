"""sse-starlette in FastAPI, with a queue per client."""

from __future__ import annotations

from common import EVENT, QueuePerClient
from fastapi import FastAPI
from routes import add_routes
from sse_starlette import EventSourceResponse

app = FastAPI()
clients: QueuePerClient[dict[str, str]] = QueuePerClient()


def publish(id: str, data: str) -> None:
    clients.publish({"id": id, "event": EVENT, "data": data})


add_routes(app, publish)


@app.get("/events")
async def events() -> EventSourceResponse:
    return EventSourceResponse(clients.subscribe())
