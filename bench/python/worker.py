"""The protocol of all workers: a ready line, then one line of JSON per request."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from time import perf_counter
from typing import Any


def serve(distribution: str, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Say which version is measured, then answer requests until stdin ends."""
    say({"version": version(distribution)})
    # What the imports left behind is none of the collector's business while we measure.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # noqa: BLE001 - a peer may fail in any way
            reply = {"error": f"{type(error).__name__}: {error}"}
        say(reply)


def say(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def seconds_per_pass(min_seconds: float, one_pass: Callable[[], object]) -> float:
    """Run until `min_seconds` have gone by; return the seconds of one pass."""
    passes = 0
    start = perf_counter()
    while True:
        one_pass()
        passes += 1
        elapsed = perf_counter() - start
        if elapsed >= min_seconds:
            return elapsed / passes
