"""What the tests of the hand-off under WSGI servers run: an application, and servers that have no command of their own.

`python handoff_app.py SERVER PORT` serves with werkzeug, werkzeug-single, werkzeug-forking, waitress, waitress-poll,
runserver or pywsgi (gevent's own server).
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import itertools
import logging
import os
import resource
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Flask, Response, jsonify, request

from ssehub import Event, History, Hub, StreamInfo
from ssehub.flask import EventSourceResponse

logging.basicConfig(format="%(name)s %(levelname)s %(message)s", level=logging.INFO)
hub = Hub(retry=1000, topics={"short": History(count=2)})
# Before any fork: `gunicorn --preload` loads this in the parent.
hub.publish("t", f"from {os.getpid()}")
app = Flask(__name__)
told: list[tuple[str, str, str]] = []


def tell(what: str) -> Callable[[StreamInfo], None]:
    def callback(info: StreamInfo) -> None:
        told.append((what, info.mode, info.reason))
        print("told", what, info.mode, info.reason, flush=True)

    return callback


hub.on_open(tell("open"))
hub.on_close(tell("close"))


@app.get("/")
def index() -> str:
    return "ok"


@app.route("/events", methods=["GET", "POST"])
def events() -> Response:
    topic = request.args.get("topic", "t")

    def snapshot() -> Event:
        return Event("the state", event="snapshot")

    subscription = hub.subscribe(topic)
    if "publish" in request.args:
        # From another thread: this one may be the server's only one.
        threading.Timer(0.5, lambda: [hub.publish(topic, "x" * 200_000) for _ in range(60)]).start()
    return EventSourceResponse(
        subscription,
        handoff=request.args.get("handoff", "detach"),  # type: ignore[arg-type]
        key=request.args.get("key"),
        snapshot=snapshot if "snapshot" in request.args else None,
        on_close=tell("own") if "own" in request.args else None,
        max_age=float(request.args["max_age"]) if "max_age" in request.args else None,
        heartbeat=0.5,
    )


@app.post("/publish")
def publish() -> str:
    return hub.publish_wait(request.args.get("topic", "t"), request.get_data(as_text=True))


@app.post("/kick")
def kick() -> str:
    return str(hub.disconnect(key=request.args["key"]))


@app.post("/drain")
def drain() -> str:
    hub.start_drain()
    return "draining"


@app.post("/descriptors")
def descriptors() -> str:
    """Leaves so many descriptors free, or as many as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = request.args.get("free", type=int)
    soft = hard
    if free is not None:
        listed = [int(name) for name in os.listdir("/proc/self/fd")]
        # Without the one that the listing took.
        used = {fd for fd in listed if os.path.exists(f"/proc/self/fd/{fd}")}
        soft = next(n for n in itertools.count() if n - len({fd for fd in used if fd < n}) == free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return str(soft)


@app.post("/fork")
def fork() -> str:
    """A child that publishes, and ends as a script does, or stays for a while: a task queue's, for example."""
    child = os.fork()
    if child:
        return str(child)
    hub.publish("t", "from the child")
    if "stay" in request.args:
        time.sleep(60)
    atexit._run_exitfuncs()
    os._exit(0)


@app.post("/reap")
def reap() -> str:
    """The exit status of that child."""
    return str(os.waitpid(int(request.args["child"]), 0)[1])


@app.get("/stats")
def stats() -> Response:
    return jsonify(
        {
            **dataclasses.asdict(hub.stats()),
            "told": told,
            "pid": os.getpid(),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "threads": threading.active_count(),
        }
    )


# Middlewares that stand between the stream and the server.


class Middleware:
    def __init__(self, app: Any, change: Callable[[Iterable[bytes]], Iterator[bytes]]) -> None:
        self.app, self.change = app, change

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = self.app(environ, start_response)
        return Closing(self.change(body), body) if environ["PATH_INFO"] == "/events" else body


class Closing:
    """Passes `close` on, as PEP 3333 asks of middleware."""

    def __init__(self, chunks: Iterator[bytes], body: Any) -> None:
        self.chunks, self.body = chunks, body

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks

    def close(self) -> None:
        if hasattr(self.body, "close"):
            self.body.close()


def ahead(body: Iterable[bytes]) -> Iterator[bytes]:
    """Gives a piece when it has the one after it."""
    last = b""
    for piece in body:
        if last:
            yield last
        last = piece
    yield last


def rewrite(body: Iterable[bytes]) -> Iterator[bytes]:
    """Changes what goes through, but not how long it is."""
    for piece in body:
        yield piece.swapcase()


def split(body: Iterable[bytes]) -> Iterator[bytes]:
    """Gives each piece in two."""
    for piece in body:
        half = len(piece) // 2
        yield from filter(None, (piece[:half], piece[half:]))


def compress(body: Iterable[bytes]) -> Iterator[bytes]:
    """Compresses, piece by piece."""
    deflate = zlib.compressobj()
    for piece in body:
        yield deflate.compress(piece) + deflate.flush(zlib.Z_SYNC_FLUSH)


def through(body: Iterable[bytes]) -> Iterator[bytes]:
    """Changes nothing."""
    yield from body


for name in filter(None, os.environ.get("SSEHUB_TEST_MIDDLEWARE", "").split(",")):
    app.wsgi_app = Middleware(app.wsgi_app, globals()[name])  # type: ignore[method-assign]


def main(server: str, port: int) -> None:
    if server.startswith("werkzeug"):
        processes = 2 if server == "werkzeug-forking" else 1
        app.run(port=port, threaded=server == "werkzeug", processes=processes)
    elif server.startswith("waitress"):
        import waitress

        poll = server == "waitress-poll"
        waitress.serve(app, host="127.0.0.1", port=port, threads=4, asyncore_use_poll=poll)
    elif server == "runserver":
        # What `manage.py runserver` calls.
        from django.core.servers.basehttp import run

        with contextlib.suppress(KeyboardInterrupt):
            run("127.0.0.1", port, app, threading=True)
    elif server == "pywsgi":
        from gevent.pywsgi import WSGIServer

        WSGIServer(("127.0.0.1", port), app).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
