"""A stream, a page that reads it, and what a test wants to do to it. Served by uvicorn for test_reconnect.py."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse

from ssehub import Event, Hub
from ssehub.fastapi import EventSourceResponse

hub = Hub(retry=100)
app = FastAPI(lifespan=hub.lifespan)


@app.get("/events", response_class=EventSourceResponse)
async def events() -> EventSourceResponse:
    return EventSourceResponse(hub.subscribe("news"))


@app.post("/publish/{n}")
def publish(n: int) -> None:
    hub.publish("news", {"n": n}, event="posted")


@app.post("/cut")
def cut() -> int:
    return hub.disconnect(topic="news", event=Event("bye", event="farewell"))


@app.get("/streams")
def streams() -> int:
    return hub.stats().connections


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(Path(__file__).parent / "reconnect.html")
