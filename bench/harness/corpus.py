"""The streams that all parsers read: made once per run, the same in every run."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024

WORDS = (
    *("the", "of", "stream", "and", "event", "a", "token", "to", "in", "is", "that", "over"),
    *("connection", "browser", "世界", "你好", "日本語", "한국어", "🙂", "🚀", "naïve", "Füße"),
)


@dataclass(frozen=True)
class Corpus:
    """A stream in a file, and what a correct parser finds in it."""

    title: str
    path: Path
    events: int
    crc: int

    @property
    def truth(self) -> dict[str, int]:
        """The answer of a correct parser."""
        return {"events": self.events, "crc": self.crc}


def llm(directory: Path, size: int) -> Corpus:
    """Chat completion chunks as the large LLM services send them: about 290 bytes an event."""

    def blocks() -> Iterator[tuple[str, str]]:
        chance = random.Random(1)
        while True:
            chunk = {
                "id": "chatcmpl-BxQ7m2hVfT0aKc9RzLw4eYsUdN8pG",
                "object": "chat.completion.chunk",
                "created": 1790000000,
                "model": "gpt-5-mini-2026-06",
                "service_tier": "default",
                "system_fingerprint": "fp_7a1c09b2e4",
                "choices": [
                    {
                        "index": 0,
                        "delta": {"content": " " + chance.choice(WORDS)},
                        "logprobs": None,
                        "finish_reason": None,
                    }
                ],
            }
            yield "", json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))

    return _write("LLM tokens", directory / "llm.sse", size, blocks())


def large(directory: Path, size: int) -> Corpus:
    """Events with a type, an id and 8 KB of JSON."""

    def blocks() -> Iterator[tuple[str, str]]:
        chance = random.Random(2)
        number = 0
        while True:
            number += 1
            rows = [
                {"sku": f"A-{chance.randrange(10**6):06}", "price": chance.randrange(10**5) / 100}
                for _ in range(238)
            ]
            fields = f"event: stock\nid: {number}\n"
            yield fields, json.dumps({"seq": number, "rows": rows}, separators=(",", ":"))

    return _write("8 KB events", directory / "large.sse", size, blocks())


def long_line(directory: Path, size: int) -> Corpus:
    """One event whose data is one line of `size` bytes."""
    path = directory / f"line-{size}.sse"
    return _write(f"one {size // MIB} MiB line", path, 1, iter([("", "x" * size)]))


def _write(title: str, path: Path, size: int, blocks: Iterator[tuple[str, str]]) -> Corpus:
    events = crc = 0
    with path.open("wb") as file:
        while file.tell() < size:
            fields, data = next(blocks)
            encoded = data.encode()
            file.write(fields.encode() + b"data: " + encoded + b"\n\n")
            events += 1
            crc = zlib.crc32(encoded, crc)
    return Corpus(title, path, events, crc)
