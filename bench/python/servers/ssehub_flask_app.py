"""ssehub in Flask: as `ssehub_app.py`, for servers that give each request a thread or process."""

from __future__ import annotations

import gc
import os
import time

from common import EVENT, payload, timed_calls
from flask import Flask, Response, jsonify, request

from ssehub import Hub
from ssehub.flask import EventSourceResponse

handoff = os.environ["HANDOFF"]
hub = Hub()
app = Flask(__name__)


def publish(id: str, data: str) -> None:
    # The hub numbers its events itself.
    hub.publish("news", data, event=EVENT)


@app.get("/events")
def events() -> Response:
    topic = request.args.get("topic")
    topics = ("news", topic) if topic else ("news",)
    return EventSourceResponse(hub.subscribe(*topics), handoff=handoff)


@app.post("/publish")
def publish_events() -> Response:
    pause = request.args.get("pause_ms", 0, int) / 1000
    calls = []
    for nanoseconds in timed_calls(publish, int(request.args["n"]), int(request.args["size"])):
        calls.append(nanoseconds)
        if pause:
            time.sleep(pause)
    return jsonify({"calls": calls})


@app.post("/private")
def private() -> Response:
    hub.publish(request.args["topic"], payload(0, int(request.args["size"])), event=EVENT)
    return jsonify({"calls": []})


@app.get("/metrics")
def metrics() -> Response:
    return Response(hub.metrics(), mimetype="text/plain")


@app.get("/fast")
def fast() -> Response:
    return Response("ok", mimetype="text/plain")


@app.post("/gc")
def collect() -> Response:
    gc.collect()
    return Response(status=204)
