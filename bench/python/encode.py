"""`python encode.py <peer>`: one Python encoder as a worker."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from worker import seconds_per_pass, serve

Encode = Callable[[str, str, str], bytes]

EVENTS_PER_PASS = 1_000
"""Encodings per pass: the clock is read between passes only."""


def ssehub() -> Encode:
    from ssehub import encode

    return lambda data, event, id: encode(data, event=event, id=id)


def sse_starlette() -> Encode:
    from sse_starlette import ServerSentEvent

    return lambda data, event, id: ServerSentEvent(data, event=event, id=id).encode()


def fastapi() -> Encode:
    from fastapi.sse import format_sse_event

    return lambda data, event, id: format_sse_event(data_str=data, event=event, id=id)


PEERS: dict[str, tuple[str, Callable[[], Encode]]] = {
    "ssehub": ("ssehub", ssehub),
    "sse-starlette": ("sse-starlette", sse_starlette),
    "fastapi": ("fastapi", fastapi),
}


def main() -> None:
    distribution, load = PEERS[sys.argv[1]]
    encode = load()

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        data, event, id = request["data"], request["event"], request["id"]
        if "min_seconds" not in request:
            return {"wire": encode(data, event, id).decode()}

        def one_pass() -> None:
            for _ in range(EVENTS_PER_PASS):
                encode(data, event, id)

        one_pass()
        seconds = seconds_per_pass(request["min_seconds"], one_pass)
        return {"seconds": seconds / EVENTS_PER_PASS}

    serve(distribution, answer)


if __name__ == "__main__":
    main()
