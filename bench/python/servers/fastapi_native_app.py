"""FastAPI's own SSE, with a queue per client."""

from __future__ import annotations

from collections.abc import AsyncIterator

from common import EVENT, QueuePerClient
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent
from routes import add_routes

app = FastAPI()
clients: QueuePerClient[ServerSentEvent] = QueuePerClient()


def publish(id: str, data: str) -> None:
    clients.publish(ServerSentEvent(raw_data=data, event=EVENT, id=id))


add_routes(app, publish)


@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[ServerSentEvent]:
    async for event in clients.subscribe():
        yield event
