"""What server.js is in Node: a hub's stream, a stream per request, and what a test wants to do to them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Body, FastAPI, Header, Response

from ssehub import Event, History, Hub
from ssehub.fastapi import EventSourceResponse

hub = Hub(retry=50, history=History(count=50))
app = FastAPI(lifespan=hub.lifespan)


@app.get("/events", response_class=EventSourceResponse)
async def events() -> EventSourceResponse:
    return EventSourceResponse(hub.subscribe("t"))


@app.post("/answer")
async def answer(
    words: Annotated[list[str], Body(embed=True)],
    authorization: Annotated[str | None, Header()] = None,
) -> Response:
    if authorization != "token 2":
        return Response(status_code=401)

    async def yields() -> AsyncIterator[str]:
        for word in words:
            await asyncio.sleep(0.01)
            yield word

    return EventSourceResponse(yields())


@app.post("/publish")
def publish(body: dict[str, Any]) -> str:
    hub.publish("t", body["data"], event=body.get("event"))
    return hub.last_event_id


@app.post("/cut")
def cut() -> int:
    return hub.disconnect(topic="t")


@app.post("/drain")
async def drain() -> None:
    await hub.drain(timeout=2, spread=0, event=Event("bye", event="farewell"))


@app.get("/streams")
def streams() -> int:
    return hub.subscribers("t")
