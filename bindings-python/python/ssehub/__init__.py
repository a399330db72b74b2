"""One Server-Sent Events engine: publish from any handler, stream to every client, resume without loss.

from ssehub import Hub
from ssehub.fastapi import EventSourceResponse    # or ssehub.starlette, ssehub.flask

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)

@app.get("/events", response_class=EventSourceResponse)
async def events():
    return EventSourceResponse(hub.subscribe("news"))

@app.post("/news")
def post(item: Item):
    hub.publish("news", item, event="posted")
"""

from __future__ import annotations

try:
    from ssehub._ssehub import Event, __version__, encode
except ImportError as error:
    import platform
    import sys

    raise ImportError(
        f"ssehub's native module does not load on {platform.system()} {platform.machine()}, "
        f"{sys.implementation.name} {platform.python_version()}: {error}. "
        "Install a wheel for this platform (pip install --force-reinstall ssehub), or build one: "
        "install Rust, then pip install --no-binary ssehub ssehub"
    ) from error

from ssehub.client import (
    Attempt,
    EventSource,
    Gap,
    Headers,
    ReadyState,
    Reconnect,
    Redirect,
    Redirects,
    Response,
)
from ssehub.errors import (
    ArgumentError,
    ClientError,
    ClosedError,
    ConnectError,
    ContentTypeError,
    DecodeError,
    DisconnectedError,
    DrainingError,
    EventTooLargeError,
    HandoffError,
    LaggedError,
    LimitError,
    OversizedEventError,
    ProtocolError,
    ProxyError,
    RedirectError,
    SSEHubError,
    StatusError,
    StreamEndedError,
    StreamTimeoutError,
    TlsError,
    UnfinishedError,
)
from ssehub.hub import Hub
from ssehub.options import History, Limits, Pattern, pattern
from ssehub.parser import Parser, aiter_events, iter_events
from ssehub.stats import Published, Stats, StreamInfo, TopicStats
from ssehub.subscription import Subscription

__all__ = [
    "ArgumentError",
    "Attempt",
    "ClientError",
    "ClosedError",
    "ConnectError",
    "ContentTypeError",
    "DecodeError",
    "DisconnectedError",
    "DrainingError",
    "Event",
    "EventSource",
    "EventTooLargeError",
    "Gap",
    "HandoffError",
    "Headers",
    "History",
    "Hub",
    "LaggedError",
    "LimitError",
    "Limits",
    "OversizedEventError",
    "Parser",
    "Pattern",
    "ProtocolError",
    "ProxyError",
    "Published",
    "ReadyState",
    "Reconnect",
    "Redirect",
    "RedirectError",
    "Redirects",
    "Response",
    "SSEHubError",
    "Stats",
    "StatusError",
    "StreamEndedError",
    "StreamInfo",
    "StreamTimeoutError",
    "Subscription",
    "TlsError",
    "TopicStats",
    "UnfinishedError",
    "__version__",
    "aiter_events",
    "encode",
    "iter_events",
    "pattern",
]
