"""`python parse.py <peer>`: one Python parser as a worker.

Each peer turns an iterable of byte chunks into an iterable of events, the way its own code does.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from worker import seconds_per_pass, serve

Chunks = list[bytes]
Parse = Callable[[Chunks], Iterable[Any]]


def ssehub_parser() -> Parse:
    from ssehub import Parser

    return lambda chunks: chain.from_iterable(map(Parser().feed, chunks))


def ssehub_iter_events() -> Parse:
    from ssehub import iter_events

    return iter_events


def httpx_sse() -> Parse:
    import httpx
    from httpx_sse import EventSource

    class Body(httpx.SyncByteStream):
        def __init__(self, chunks: Chunks) -> None:
            self.chunks = chunks

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.chunks)

    headers = {"content-type": "text/event-stream"}
    return lambda chunks: EventSource(
        httpx.Response(200, headers=headers, stream=Body(chunks))
    ).iter_sse()


def openai() -> Parse:
    from openai._streaming import SSEDecoder

    return lambda chunks: SSEDecoder().iter_bytes(iter(chunks))


def anthropic() -> Parse:
    from anthropic._streaming import SSEDecoder

    return lambda chunks: SSEDecoder().iter_bytes(iter(chunks))


def sseclient_py() -> Parse:
    from sseclient import SSEClient

    return lambda chunks: SSEClient(iter(chunks)).events()


def launchdarkly() -> Parse:
    from ld_eventsource.reader import _BufferedLineReader, _SSEReader

    return lambda chunks: _SSEReader(_BufferedLineReader.lines_from(chunks)).events_and_comments()


PEERS: dict[str, tuple[str, Callable[[], Parse]]] = {
    "ssehub Parser": ("ssehub", ssehub_parser),
    "ssehub iter_events": ("ssehub", ssehub_iter_events),
    "httpx-sse": ("httpx-sse", httpx_sse),
    "openai": ("openai", openai),
    "anthropic": ("anthropic", anthropic),
    "sseclient-py": ("sseclient-py", sseclient_py),
    "launchdarkly-eventsource": ("launchdarkly-eventsource", launchdarkly),
}


def cut(stream: bytes, size: int) -> Chunks:
    """Chunks of `size` bytes; 0 is one event per chunk."""
    if size:
        return [stream[i : i + size] for i in range(0, len(stream), size)]
    return [event + b"\n\n" for event in stream.split(b"\n\n")[:-1]]


def digest(events: Iterable[Any]) -> dict[str, int]:
    """What was parsed, to compare with what the corpus holds."""
    count = crc = 0
    for event in events:
        count += 1
        crc = zlib.crc32(event.data.encode(), crc)
    return {"events": count, "crc": crc}


def touch(events: Iterable[Any]) -> None:
    """What a program does at the least: look at the data."""
    for event in events:
        event.data  # noqa: B018


def main() -> None:
    distribution, load = PEERS[sys.argv[1]]
    parse = load()

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        chunks = cut(Path(request["corpus"]).read_bytes(), request["chunk"])
        if "min_seconds" not in request:
            return digest(parse(chunks))
        touch(parse(chunks))
        return {"seconds": seconds_per_pass(request["min_seconds"], lambda: touch(parse(chunks)))}

    serve(distribution, answer)


if __name__ == "__main__":
    main()
