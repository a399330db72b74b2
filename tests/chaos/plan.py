"""What is published and how it is kept: `plan.json`, which the servers of both languages read, too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLAN: dict[str, Any] = json.loads(Path(__file__).with_name("plan.json").read_text())
KEYS: int = PLAN["keys"]
ROOMS = "room."


@dataclass(frozen=True)
class Kept:
    """A topic's history: the newest events that one who returns may have."""

    count: int
    age: float | None


_KEPT = {
    name: Kept(history["count"], history.get("age", 300))
    for name, history in PLAN["histories"].items()
}


def kept(topic: str) -> Kept:
    return _KEPT["room.*" if topic.startswith(ROOMS) else topic]


@dataclass(frozen=True)
class Mark:
    """What an event says of one of its topics: the how-manieth of it this is, and the sequence number of the last."""

    topic: str
    n: int
    previous: int


def marks(data: str) -> list[Mark]:
    """What an event says of itself: `short=17/120 mid=33/118;` and padding."""
    found = []
    for part in data.partition(";")[0].split(" "):
        topic, _, numbers = part.partition("=")
        n, _, previous = numbers.partition("/")
        found.append(Mark(topic, int(n), int(previous)))
    return found
