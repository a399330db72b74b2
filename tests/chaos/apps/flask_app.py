"""The server under Flask."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

from flask import Flask, Response, jsonify, request
from publisher import Publisher, make_hub, subscribe

from ssehub.flask import EventSourceResponse

hub = make_hub()
publisher = Publisher(hub)
app = Flask(__name__)
publisher.start()


@app.get("/events")
def events() -> Response:
    query = request.args
    subscription = subscribe(hub, query["topics"], query.get("pattern"), query["slow"])
    handoff: Any = query["handoff"]
    return EventSourceResponse(
        subscription,
        key=query["key"],
        snapshot=publisher.snapshot if "snapshot" in query else None,
        handoff=handoff,
    )


@app.post("/stop")
def stop() -> str:
    publisher.stop()
    return "stopped"


@app.post("/drain")
def drain() -> str:
    """As at the end of the server, which then goes on all the same."""
    hub.start_drain(8, 1)
    deadline = time.monotonic() + 9
    while hub.stats().connections and time.monotonic() < deadline:
        time.sleep(0.02)
    hub._resume()
    return "drained"


@app.get("/stats")
def stats() -> Response:
    found = dataclasses.asdict(hub.stats())
    return jsonify({**found, "told": publisher.told, "pid": os.getpid()})
