"""Follows a stream for as long as it goes on, whatever becomes of its connections.

Serve:    uvicorn --app-dir examples/python fastapi_app:app --port 8000
Run:      python examples/python/eventsource.py http://localhost:8000/events

Publish something (see fastapi_app.py), end the server, start it again: the client comes back and misses nothing, or is
told what it has missed.
"""

import asyncio
import sys
from contextlib import suppress

from ssehub import ClientError, EventSource, Gap, Response


def on_open(response: Response) -> None:
    print(f"open: {response.url}, {response.http_version}", flush=True)


def on_error(error: ClientError) -> None:
    if error.delay is not None:
        print(f"again in {error.delay:.1f} s: {error}", flush=True)


def on_gap(gap: Gap) -> None:
    print(f"events after {gap.last_event_id} are lost: {gap.reason}", flush=True)


async def main(url: str) -> None:
    # The server sends a comment every 15 seconds: after twice that without a byte, nobody is there any more.
    source = EventSource(url, timeout=30, on_open=on_open, on_error=on_error, on_gap=on_gap)
    async with source:
        async for event in source:
            print(f"{event.event} {event.id}: {event.data}", flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
