"""The demo with FastAPI: four streams, one hub.

`run.py` starts it together with its Express twin; alone: uvicorn --app-dir examples/demo fastapi_app:app --port 8001
"""

import asyncio
import json
import os
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count, cycle
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from ssehub import Event, History, Hub, __version__
from ssehub.fastapi import EventSourceResponse

here = Path(__file__).parent
content = json.loads((here / "content.json").read_text(encoding="utf-8"))

hub = Hub(
    topics={
        "ticker": History(count=240),  # the minute that the chart shows
        "notifications": History(count=20),
        "stats": History(count=1),
    }
)


# What happens by itself, and is published.


def now() -> int:
    return round(time.time() * 1000)


async def tick() -> None:
    price = 100.0
    while True:
        price = max(price + random.gauss(0, 0.12), 1)
        hub.publish(
            "ticker", {"symbol": "SSE", "price": round(price, 2), "at": now()}, event="price"
        )
        await asyncio.sleep(0.25)


numbers = count(1)


def notify(title: str, body: str) -> None:
    item = {"n": next(numbers), "title": title, "body": body, "at": now()}
    hub.publish("notifications", item, event="notification")


async def work() -> None:
    for item in cycle(content["notifications"]):
        notify(**item)
        await asyncio.sleep(2)


async def report() -> None:
    while True:
        hub.publish("stats", hub.stats(), event="stats")
        await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with hub.lifespan(app):
        jobs = [asyncio.create_task(job()) for job in (tick, work, report)]
        yield
        for job in jobs:
            job.cancel()


app = FastAPI(lifespan=lifespan)


# Streams of the hub. A new client begins with what the topic remembers, one that comes back where it was.


@app.get("/events/ticker", response_class=EventSourceResponse)
async def ticker() -> EventSourceResponse:
    return EventSourceResponse(hub.subscribe("ticker", last_event_id="earliest"))


@app.get("/events/notifications", response_class=EventSourceResponse)
async def notifications() -> EventSourceResponse:
    return EventSourceResponse(hub.subscribe("notifications", last_event_id="earliest"))


@app.get("/events/stats", response_class=EventSourceResponse)
async def stats() -> EventSourceResponse:
    return EventSourceResponse(hub.subscribe("stats", last_event_id="earliest"))


class Notification(BaseModel):
    title: str
    body: str = ""


@app.post("/notifications", status_code=202)
async def post(item: Notification) -> None:
    notify(item.title, item.body)


# A stream of one request.


class Prompt(BaseModel):
    prompt: str


@app.post("/chat", response_class=EventSourceResponse)
async def chat(q: Prompt) -> EventSourceResponse:
    return EventSourceResponse(answer(q.prompt))


async def answer(prompt: str) -> AsyncIterator[Event]:
    tokens = re.findall(r"\s*\S+", f"You asked: “{prompt}”\n\n{content['answer']}")
    for token in tokens:
        await asyncio.sleep(1 / 35)
        yield Event({"text": token}, event="token")
    yield Event({"tokens": len(tokens)}, event="done")


# The page.


@app.get("/config")
async def config() -> dict[str, object]:
    return {
        "name": "FastAPI",
        "language": "Python",
        "version": __version__,
        "peer": os.environ.get("DEMO_PEER"),
        "history": {"count": 20, "age": 300},
    }


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(here / "static" / "index.html")


app.mount("/static", StaticFiles(directory=here / "static"))
