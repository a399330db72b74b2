"""The clients of both languages from the socket to the event, against what people use today."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from . import corpus
from .compare import Language, Rival
from .corpus import Corpus
from .report import KIBIBYTES, MICROSECONDS, PER_SECOND, Ratio, Row, Table, Unit
from .server import Server
from .settings import Run
from .worker import Team, Worker, WorkerError


@dataclass(frozen=True)
class Clients(Language):
    """The clients of a language."""

    many: str
    """Which of ours reads many streams at the same time."""

    def of(self, ours: str) -> Clients:
        """The same with the peers of one of ours alone."""
        return replace(self, rivals=[rival for rival in self.rivals if rival.ours == ours])


SYNC, ASYNC = "ssehub EventSource", "ssehub EventSource async"
LISTENERS, LOOP = "ssehub EventSource", "ssehub EventSource loop"
LANGUAGES = (
    Clients(
        "Python",
        [sys.executable, "python/client.py"],
        [
            Rival("httpx-sse", SYNC, 3.0),
            Rival("sseclient-py over requests", SYNC),
            Rival("httpx-sse async", ASYNC, 3.0),
            Rival("aiohttp", ASYNC),
        ],
        many=ASYNC,
    ),
    Clients(
        "Node",
        ["node", "node/client.js"],
        [
            Rival("eventsource", LISTENERS, 1.5),
            Rival("undici", LISTENERS),
            Rival("eventsource", LOOP, 1.5),
        ],
        many=LISTENERS,
    ),
)
PACE = 500
"""Events a second of a stream that is written one by one."""

ROUND_SECONDS = 0.25
"""From one event to the next where there are many streams: time for the slowest to take it."""

Samples = dict[str, dict[str, list[float]]]
"""By worker and figure."""


@dataclass(frozen=True)
class Case:
    """A stream, and how it comes."""

    title: str
    url: str
    truth: Mapping[str, int]
    targets: bool


def measure(run: Run) -> None:
    """All clients on whole corpora, on one event at a time, and with many streams."""
    with tempfile.TemporaryDirectory(prefix="ssehub-bench-") as folder:
        llm = corpus.llm(Path(folder), run.settings.corpus_bytes)
        large = corpus.large(Path(folder), run.settings.corpus_bytes)
        with serving(llm, large) as base:
            for language in LANGUAGES:
                with language.team(run) as team:
                    for title, stream in (("LLM tokens", llm), ("8 KB events", large)):
                        path = "llm" if stream is llm else "large"
                        case = Case(title, f"{base}/{path}", stream.truth, stream is llm)
                        whole(run, language, team, case)
                    paced(run, language, team, base)
                many(run, language.of(language.many), base)


@contextmanager
def serving(llm: Corpus, large: Corpus) -> Iterator[str]:
    """The streams' server; its URL."""
    command = [sys.executable, "python/stream_server.py", "{port}", llm.path, large.path]
    with Server("streams", command, {}) as server:
        yield f"http://{server.address}"


def whole(run: Run, language: Clients, team: Team, case: Case) -> None:
    """A corpus as fast as it goes. A client is timed only where it finds exactly the right events."""
    run.progress(f"{language.name} clients: {case.title}")
    sound = []
    for client in team.workers:
        try:
            found = client.ask(url=case.url)
        except WorkerError as error:
            found, why = {}, str(error)
        else:
            why = f"{client.name}: found {found}, not {case.truth}"
        if found == case.truth:
            sound.append(client)
        else:
            run.report.failures.append(f"{language.name} client, {case.title}: {why}")
    samples = interleaved(run, sound, url=case.url, min_seconds=run.settings.min_seconds)
    rows(run, language, case.title, samples, "cpu", MICROSECONDS, case.targets)
    rates = {
        name: [[1 / seconds for seconds in figures["seconds"]], figures["cpu"]]
        for name, figures in samples.items()
    }
    columns = {"events a second": PER_SECOND, "CPU per event": MICROSECONDS}
    run.report.tables.append(Table(f"{language.name} clients: {case.title}", columns, rates))


def paced(run: Run, language: Clients, team: Team, base: str) -> None:
    """One event at a time: what it takes to be woken for each."""
    title = f"{PACE} events a second"
    run.progress(f"{language.name} clients: {title}")
    count = round(PACE * run.settings.phase_seconds)
    url = f"{base}/llm/paced?rate={PACE}&count={count}"
    samples = interleaved(run, team.workers, url=url, min_seconds=0)
    rows(run, language, title, samples, "cpu", MICROSECONDS, targets=False)


def many(run: Run, language: Clients, base: str) -> None:
    """A thousand streams in one process, or a tenth of it."""
    count = min(1000, run.settings.clients[0])
    title = f"{count:,} streams"
    run.progress(f"{language.name} clients: {title}")
    rounds = max(round(run.settings.phase_seconds / ROUND_SECONDS), 2)
    url = f"{base}/llm/many?clients={count}&rounds={rounds}&pause={ROUND_SECONDS}"
    samples: Samples = {}
    for _ in range(run.settings.repeat):
        # Fresh each time: what a process has freed, it takes again for the next streams.
        with language.team(run) as team:
            ask(run, team.workers, samples, url=url, clients=count, rounds=rounds)
    rows(run, language, f"{title}, an event for each", samples, "cpu", MICROSECONDS, targets=False)
    rows(run, language, f"{title}, opening one", samples, "opening", MICROSECONDS, targets=False)
    rows(run, language, f"{title}, memory of one", samples, "memory", KIBIBYTES, targets=False)


def interleaved(run: Run, workers: Sequence[Worker], **request: object) -> Samples:
    """All figures of all clients, in turn."""
    samples: Samples = {}
    for _ in range(run.settings.repeat):
        ask(run, workers, samples, **request)
    return samples


def ask(run: Run, workers: Sequence[Worker], samples: Samples, **request: object) -> None:
    """One more sample of each client."""
    for worker in workers:
        try:
            figures = worker.ask(**request)
        except WorkerError as error:
            run.report.failures.append(f"{worker.name}: {error}")
            continue
        for name, figure in figures.items():
            samples.setdefault(worker.name, {}).setdefault(name, []).append(figure)


def rows(
    run: Run,
    language: Clients,
    title: str,
    samples: Samples,
    figure: str,
    unit: Unit,
    targets: bool,
) -> None:
    """A row per rival that was measured so."""
    for rival in language.rivals:
        ours, peer = samples.get(rival.ours, {}), samples.get(rival.name, {})
        if figure in ours or figure in peer:
            run.report.rows.append(
                Row(
                    f"{language.name} client",
                    f"{rival.ours.removeprefix('ssehub ')}: {title}",
                    rival.name,
                    unit,
                    ours.get(figure, ()),
                    peer.get(figure, ()),
                    Ratio.SPEEDUP if unit is MICROSECONDS else Ratio.SHARE,
                    rival.target if targets else None,
                )
            )
