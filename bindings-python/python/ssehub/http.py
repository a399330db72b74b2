"""What a stream is over HTTP, whatever serves it: its head, its special blocks, and how it is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from ssehub._ssehub import Event, encode
from ssehub.errors import LimitError
from ssehub.options import Handoff, Refuse

if TYPE_CHECKING:
    from ssehub.hub import Hub
    from ssehub.stats import StreamInfo
    from ssehub.subscription import Subscription

HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)

# The last id of a finished stream: an EventSource that comes back with it is told to stay away.
FINISHED = "ssehub:end"
FINISHED_BLOCK = encode(id=FINISHED)
HEARTBEAT = b":\n"
# No details: they are in the server's log.
ERROR_EVENT = b"event: ssehub:error\ndata: \n\n"
# Milliseconds that a client may take nothing while something is owed.
WRITE_TIMEOUT = 30_000
# A head that waits for the first item waits no longer than this, in seconds.
HEAD_DELAY = 1.0


@dataclass(slots=True)
class Options:
    """What a response says of its stream."""

    key: str | None = None
    snapshot: Callable[[], Any] | None = None
    heartbeat: float | None = None
    handoff: Handoff = "detach"
    max_age: float | None = None
    expires_at: float | None = None
    once: bool = True
    on_close: Callable[[StreamInfo], object] | None = None
    announce_position: bool = True
    refuse: Refuse = "retry"

    def expires_in(self) -> int | None:
        """Milliseconds until the client's right to the stream expires."""
        if self.expires_at is None:
            return None
        return max(round((self.expires_at - time.time()) * 1000), 1)


def position(header: str | None, query: str) -> str:
    """The client's last event id: the header, else the query parameter; "" if there is neither."""
    if header:
        return header
    if "lastEventId" not in query:
        return ""
    return parse_qs(query).get("lastEventId", [""])[0]


def start(source: Subscription, options: Options, last_event_id: str) -> Any:
    """The subscription from where this client goes on."""
    native = source._native
    if last_event_id:
        native = native.resume(last_event_id)
    if options.snapshot is not None:
        # The snapshot stands in for the replay.
        native = native.live_after_gap()
    return native


def announces(source: Subscription, options: Options, last_event_id: str) -> bool:
    """Whether a stream begins with its position.

    Where a snapshot comes first, that bears it: a client that is cut before starts anew, and is not taken for one that
    has the snapshot.
    """
    snapshot_first = options.snapshot is not None and not last_event_id and not source.resumes
    return options.announce_position and not snapshot_first


def wants_stream(accept: str | None) -> bool:
    """Whether the client named the media type: EventSource does."""
    return accept is not None and "text/event-stream" in accept.lower()


def refusal(
    hub: Hub, error: Exception, accept: str | None, refuse: Refuse
) -> tuple[int, bytes, str | None]:
    """Status, body and Retry-After for a stream that is refused.

    EventSource never comes back after a status other than 200, so it gets a stream that says when to, and ends.
    """
    retry = hub._jittered_retry()
    if refuse == "retry" and wants_stream(accept):
        return 200, encode(retry=retry), None
    status = 429 if isinstance(error, LimitError) else 503
    return status, b"", str(max(round(retry / 1000), 1))


def response_headers(
    headers: Mapping[str, str] | None, media_type: str | None
) -> list[tuple[bytes, bytes]]:
    """The stream's headers, the caller's own before ours."""
    own = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in (headers or {}).items()
    ]
    if media_type is not None:
        own = [*own, (b"content-type", media_type.encode("latin-1"))]
    names = {name for name, _ in own}
    return [*own, *((name, value) for name, value in HEADERS if name not in names)]


def item_bytes(item: Any) -> bytes:
    """An item of an iterable on the wire, by the data rule."""
    return item.encode() if isinstance(item, Event) else encode("null" if item is None else item)


def snapshot_bytes(hub: Hub, items: Any, at: str | None) -> bytes:
    """The events of a snapshot. The last bears the position that they describe: whoever has it, has all of them."""
    events = [
        item if isinstance(item, Event) else Event(hub._text(item))
        for item in (items if isinstance(items, (list, tuple)) else [items])
    ]
    if not events:
        return encode(id=at)
    *others, last = events
    return b"".join(
        encode(event.data, event=event.event, id=id, retry=event.retry, comment=event.comment)
        for event, id in [*((event, None) for event in others), (last, at)]
    )
