"""What the WSGI server tests run."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Iterator

from flask import Flask, Response, jsonify, request

import ssehub.stalled
from ssehub import Hub
from ssehub.flask import EventSourceResponse

hub = Hub(retry=1000)
if "SSEHUB_TEST_WRITE_TIMEOUT" in os.environ:
    ssehub.stalled.WRITE_TIMEOUT = int(os.environ["SSEHUB_TEST_WRITE_TIMEOUT"])
# Before any fork: `gunicorn --preload` loads this in the parent.
hub.publish("t", f"from {os.getpid()}")
app = Flask(__name__)
sources = {"open": 0, "ended": 0}


@app.get("/")
def index() -> str:
    return "ok"


@app.get("/events")
def events() -> Response:
    subscription = hub.subscribe("t")
    # A sync worker has one thread: nobody else could publish while a stream is in-loop.
    for n in range(int(request.args.get("publish", 0))):
        threading.Timer(0.2, hub.publish, ("t", f"own {n}")).start()
    handoff = request.args.get("handoff", "detach")
    return EventSourceResponse(subscription, heartbeat=0.5, handoff=handoff)  # type: ignore[arg-type]


@app.get("/chat")
def chat() -> Response:
    @dataclasses.dataclass
    class Source:
        left: int = 3

        def __iter__(self) -> Iterator[str]:
            sources["open"] += 1
            try:
                while self.left:
                    yield "hello"
                    self.left -= 1
                    time.sleep(0.02)
                    if "endless" in request.args:
                        self.left = 3
            finally:
                sources["ended"] += 1

    return EventSourceResponse(Source())


@app.post("/publish")
def publish() -> str:
    return hub.publish_wait("t", request.get_data(as_text=True))


@app.get("/stats")
def stats() -> Response:
    return jsonify({**dataclasses.asdict(hub.stats()), "sources": sources, "pid": os.getpid()})


if __name__ == "__main__":
    import sys

    app.run(port=int(sys.argv[1]), threaded=True)
