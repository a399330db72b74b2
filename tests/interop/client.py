"""What client.js is in Node: `client.py URL OPTIONS`, which prints a line of JSON for all that a source tells.

OPTIONS is JSON: `words` are posted, with a token that is good at the second attempt; `last_event_id`; `stop_on`;
`async` reads with `async for`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from ssehub import ClientError, Event, EventSource, Reconnect, Response


def say(kind: str, **what: Any) -> None:
    print(json.dumps({"kind": kind, **what}), flush=True)


def tell(event: Event) -> None:
    say("event", event=event.event, data=event.data, id=event.id)


def source(url: str, options: dict[str, Any]) -> EventSource:
    words = options.get("words")

    def opened(response: Response) -> None:
        say("open", status=response.status)

    return EventSource(
        url,
        method="GET" if words is None else "POST",
        json=None if words is None else {"words": words},
        headers=lambda attempt: {"authorization": f"token {attempt.number}"},
        last_event_id=options.get("last_event_id"),
        stop_on=options.get("stop_on"),
        reconnect=None if words else Reconnect(delay=0.05),
        on_open=opened,
        on_error=lambda error: say("error", status=getattr(error, "status", None)),
        on_gap=lambda gap: say("gap", reason=gap.reason),
    )


async def read_async(stream: EventSource) -> None:
    async for event in stream:
        tell(event)


def main(url: str, options: dict[str, Any]) -> None:
    stream = source(url, options)
    try:
        if options.get("async"):
            asyncio.run(read_async(stream))
        else:
            for event in stream:
                tell(event)
        failed = False
    except ClientError:
        failed = True
    say("end", finished=stream.finished, failed=failed, last_event_id=stream.last_event_id)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
