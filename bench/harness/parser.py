"""The parsers of the three languages, each against its peers."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from . import corpus
from .compare import RUST, Language, Rival
from .corpus import MIB, Corpus
from .report import Ratio, Row, Unit
from .settings import Run
from .worker import Team, WorkerError, interleave

LANGUAGES = (
    Language(
        "Rust",
        [RUST / "parse"],
        [
            Rival("sseer", "ssehub", 1.0, always=True),
            Rival("eventsource-stream", "ssehub", 1.0, always=True),
            Rival("sse-stream", "ssehub"),
        ],
    ),
    Language(
        "Python",
        [sys.executable, "python/parse.py"],
        [
            Rival("httpx-sse", "ssehub Parser", 5.0),
            Rival("openai", "ssehub Parser", 10.0),
            Rival("anthropic", "ssehub Parser"),
            Rival("sseclient-py", "ssehub Parser"),
            Rival("launchdarkly-eventsource", "ssehub Parser"),
            Rival("httpx-sse", "ssehub iter_events"),
        ],
    ),
    Language(
        "Node",
        ["node", "node/parse.js"],
        [
            Rival("eventsource-parser stream", "ssehub events", 2.0),
            Rival("eventsource-parser feed", "ssehub events", 1.3, Ratio.SHARE),
            Rival("eventsource-parser feed", "ssehub Parser"),
            Rival("undici", "ssehub events"),
            Rival("fetch-event-source", "ssehub events"),
        ],
    ),
)

LONG_LINE_RIVALS = {
    "Rust": "eventsource-stream",
    "Python": "anthropic",
    "Node": "fetch-event-source",
}
"""Per language the peer whose time grows with the square of a line's length."""

PACKET = 1460
LONG_MIB = 8
LINEAR = 3.0
"""The time per MiB may grow by so much from 1 to 8 MiB: fresh pages and caches; a square gives 8."""


@dataclass(frozen=True)
class Case:
    """A stream and how it is cut."""

    stream: Corpus
    chunk: int
    """Bytes; 0 is one event per chunk."""

    main: bool = False
    """The case that the targets are about."""

    @property
    def title(self) -> str:
        """For the table."""
        pieces = f"{self.chunk:,}-byte chunks" if self.chunk else "one event per chunk"
        return f"{self.stream.title}, {pieces}"

    @property
    def request(self) -> dict[str, object]:
        """For the workers."""
        return {"corpus": str(self.stream.path), "chunk": self.chunk}


def measure(run: Run) -> None:
    """All parsers on all corpora and chunkings."""
    with tempfile.TemporaryDirectory(prefix="ssehub-bench-") as name:
        directory = Path(name)
        run.progress("writing the corpora")
        llm = corpus.llm(directory, run.settings.corpus_bytes)
        large = corpus.large(directory, run.settings.corpus_bytes)
        lines = [Case(corpus.long_line(directory, n * MIB), PACKET) for n in (1, LONG_MIB)]
        cases = [
            Case(llm, 16 * 1024, main=True),
            Case(llm, 0),
            Case(large, 16 * 1024),
            Case(large, 0),
        ]
        for language in LANGUAGES:
            with language.team(run) as team:
                for case in cases:
                    run.progress(f"{language.name} parsers: {case.title}")
                    samples = time(run, team, case)
                    language.compare(run, "parser", case.title, samples, case.main)
                run.progress(f"{language.name} parsers: long lines")
                long_lines(run, language, team, *lines)


def long_lines(run: Run, language: Language, team: Team, short: Case, long: Case) -> None:
    """Does the time grow with the length of a line, or with its square?"""
    ours, rival = language.rivals[0].ours, LONG_LINE_RIVALS[language.name]
    short_samples = time(run, team, short, {ours, rival})
    mine = short_samples.get(ours, [])
    unit = Unit("ms", 1e3)
    run.report.rows.append(
        Row(
            f"{language.name} parser",
            f"{ours}: {short.title}",
            rival,
            unit,
            mine,
            short_samples.get(rival, []),
        )
    )
    run.report.rows.append(
        Row(
            f"{language.name} parser",
            f"{ours}: {long.title}, per MiB (1 is linear)",
            f"itself, {short.stream.title}",
            unit,
            [seconds / LONG_MIB for seconds in time(run, team, long, {ours}).get(ours, [])],
            mine,
            Ratio.SHARE,
            LINEAR,
        )
    )


def time(
    run: Run, team: Team, case: Case, only: Collection[str] | None = None
) -> dict[str, list[float]]:
    """Seconds per event of each worker that parses the stream correctly."""
    sound = []
    for worker in team.workers:
        if only is not None and worker.name not in only:
            continue
        try:
            found = worker.ask(**case.request)
        except WorkerError as error:
            run.report.failures.append(f"{case.title}: {error}")
            continue
        if found == case.stream.truth:
            sound.append(worker)
        else:
            truth = case.stream.truth
            run.report.failures.append(f"{case.title}: {worker.name}: {found}, not {truth}")
    samples = interleave(
        sound, run.settings.repeat, min_seconds=run.settings.min_seconds, **case.request
    )
    return {name: [s / case.stream.events for s in taken] for name, taken in samples.items()}
