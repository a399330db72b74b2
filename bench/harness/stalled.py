"""One client in ten stops reading: what the others notice, and what it costs."""

from __future__ import annotations

from functools import partial

from .contestants import (
    EVENT_BYTES,
    Contestant,
    Figures,
    load_client,
    measure_in_turn,
    phase,
)
from .fanout import BURST
from .report import KIBIBYTES, MILLISECONDS, Ratio, Row, figure
from .server import Server, socket_buffers
from .settings import Run
from .worker import Worker, WorkerError

SERVERS = ("uvicorn detached", "gunicorn sync detached", "Express detached")
FILL_BURSTS = 30
"""About 600 KiB: less than the hub's lag limit, which would end their streams."""


def measure(run: Run) -> None:
    """A row per server and figure."""
    results = measure_in_turn(run, run.settings.rounds, SERVERS, partial(measure_once, run))
    clients = run.settings.clients[1]
    for name in filter(run.wants, SERVERS):
        samples = results.get((name, clients), {})
        run.report.details[f"{name}, stalled clients"] = samples
        section = f"{name}, {clients // 10:,} of {clients:,} clients stalled"
        for point in ("p50", "p99"):
            run.report.rows.append(
                Row(
                    section,
                    f"publish to each other client, {point}",
                    "without them",
                    MILLISECONDS,
                    samples.get(f"with_{point}", ()),
                    samples.get(f"without_{point}", ()),
                    Ratio.SHARE,
                    1.3 if point == "p99" else None,
                )
            )
        for kind in ("user", "kernel"):
            what = f"{kind} memory per stalled client"
            run.report.rows.append(figure(section, what, KIBIBYTES, samples.get(kind, ())))


def measure_once(run: Run, contestant: Contestant, server: Server) -> dict[int, Figures]:
    """The same readers without and with others that stall; these are full before it counts."""
    clients = run.settings.clients[1]
    stalled = clients // 10
    with load_client(server) as load:
        load.ask(phase="connect", path="/events", clients=clients - stalled)
        without = paced(run, server, load)
        user, kernel = server.user_memory(), socket_buffers()
        load.ask(phase="stall", path="/events", clients=stalled)
        contestant.check_mode(server, clients)
        having = paced(run, server, load)
        contestant.check_mode(server, clients)
        user, kernel = server.user_memory() - user, socket_buffers() - kernel
        if kernel >= stalled * FILL_BURSTS * BURST * EVENT_BYTES:
            raise WorkerError(f"{server.name}: nobody stalled, the kernel took everything")
        return {
            clients: {
                "without_p50": without["p50_ms"],
                "without_p99": without["p99_ms"],
                "with_p50": having["p50_ms"],
                "with_p99": having["p99_ms"],
                "user": user / stalled,
                "kernel": kernel / stalled,
            }
        }


def paced(run: Run, server: Server, load: Worker) -> dict[str, float]:
    """The latencies of each client, after as much as fills those that do not read."""
    phase(server, load, phase="burst", events=BURST, repeat=FILL_BURSTS)
    answer = phase(server, load, phase="paced", events=run.settings.paced_events)
    latency: dict[str, float] = answer["latency"]
    return latency
