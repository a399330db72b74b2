"""FastAPI: publish in one handler, stream in another; and a stream made by `yield`.

Run:      uvicorn --app-dir examples/python fastapi_app:app --port 8000
Listen:   curl -N http://localhost:8000/events
Publish:  curl http://localhost:8000/news -H "Content-Type: application/json" -d '{"title": "hello"}'
Count:    curl -N http://localhost:8000/countdown
"""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from pydantic import BaseModel

from ssehub import Hub
from ssehub.fastapi import EventSourceResponse

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


class Item(BaseModel):
    title: str


@app.get("/events", response_class=EventSourceResponse)
async def events() -> EventSourceResponse:
    return EventSourceResponse(hub.subscribe("news"))


@app.post("/news", status_code=202)
def post(item: Item) -> None:
    hub.publish("news", item, event="posted")


@app.get("/countdown", response_class=EventSourceResponse)
async def countdown() -> AsyncIterator[dict[str, int]]:
    for n in (3, 2, 1, 0):
        yield {"n": n}
        await asyncio.sleep(0.5)
