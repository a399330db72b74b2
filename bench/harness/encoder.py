"""The encoders of the three languages, each against its peers."""

from __future__ import annotations

import sys

from .compare import RUST, Language, Rival
from .settings import Run
from .worker import Team, Worker, WorkerError, interleave

LANGUAGES = (
    Language("Rust", [RUST / "encode"], [Rival("format", "ssehub")]),
    Language(
        "Python",
        [sys.executable, "python/encode.py"],
        [Rival("sse-starlette", "ssehub", 5.0), Rival("fastapi", "ssehub")],
    ),
    Language("Node", ["node", "node/encode.js"], [Rival("better-sse", "ssehub")]),
)

SMALL = '{"seq":1,"text":"' + "x" * 131 + '"}'
LINES = "\n".join(["a line of some text with a word in 日本語 " + "y" * 150] * 40)


def measure(run: Run) -> None:
    """All encoders on one small and one larger event."""
    for language in LANGUAGES:
        with language.team(run) as team:
            for title, data in (("one 150-byte event", SMALL), ("40 lines of 200 bytes", LINES)):
                run.progress(f"{language.name} encoders: {title}")
                event = {"data": data, "event": "posted", "id": "1f3a-42"}
                samples = time(run, team, title, event)
                language.compare(run, "encoder", title, samples, main=data is SMALL)


def time(run: Run, team: Team, title: str, event: dict[str, str]) -> dict[str, list[float]]:
    """Seconds per event of each worker whose bytes say what the event says."""
    sound = []
    for worker in team.workers:
        try:
            check(worker, event)
        except WorkerError as error:
            run.report.failures.append(f"{title}: {error}")
        else:
            sound.append(worker)
    return interleave(sound, run.settings.repeat, min_seconds=run.settings.min_seconds, **event)


def check(worker: Worker, event: dict[str, str]) -> None:
    """Raise unless the wire bytes hold the event's fields; order and line ends are free."""
    wire: str = worker.ask(**event)["wire"]
    found: dict[str, list[str]] = {}
    for line in wire.splitlines():
        name, _, value = line.partition(":")
        if line:
            found.setdefault(name, []).append(value.removeprefix(" "))
    if {name: "\n".join(values) for name, values in found.items()} != event:
        raise WorkerError(f"{worker.name}: the bytes do not say what the event says")
