"""Flask: publish in one handler, stream in another.

Run:      flask --app examples/python/flask_app run --port 8000
Listen:   curl -N http://localhost:8000/events
Publish:  curl http://localhost:8000/news -H "Content-Type: application/json" -d '{"title": "hello"}'
"""

from flask import Flask, request

from ssehub import Hub
from ssehub.flask import EventSourceResponse

hub = Hub()
app = Flask(__name__)


@app.get("/events")
def events() -> EventSourceResponse:
    return EventSourceResponse(hub.subscribe("news"))


@app.post("/news")
def post() -> tuple[str, int]:
    hub.publish("news", request.get_json(), event="posted")
    return "", 202
