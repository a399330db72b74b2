"""In-loop fan-out: one publisher, many clients, one server process after the other."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .compare import RUST
from .report import KIBIBYTES, MICROSECONDS, MILLISECONDS, Ratio, Row, Unit
from .server import HOST, Server
from .settings import Run, Settings
from .worker import BENCH, Worker, WorkerError

EVENT_BYTES = 150
SERVER_PARTS = ("uvicorn", "uvloop", "httptools")
WARM_UP_CLIENTS = 20
WARM_UP_EVENTS = 30


@dataclass(frozen=True)
class Metric:
    """One figure of a server, and the most of the peer's that ours may be."""

    key: str
    title: str
    unit: Unit
    kind: Ratio = Ratio.SHARE


METRICS = (
    Metric("cpu_per_delivery", "CPU per delivery, paced", MICROSECONDS),
    Metric("seconds_per_delivery", "time per delivery, paced", MICROSECONDS, Ratio.SPEEDUP),
    Metric("burst_cpu_per_delivery", "CPU per delivery, burst", MICROSECONDS),
    Metric("burst_seconds_per_delivery", "time per delivery, burst", MICROSECONDS, Ratio.SPEEDUP),
    Metric("memory_per_connection", "memory per connection", KIBIBYTES),
    Metric("latency_p50", "publish to client, p50", MILLISECONDS),
    Metric("latency_p99", "publish to client, p99", MILLISECONDS),
    Metric("fast_p99", "trivial route meanwhile, p99", MILLISECONDS),
)


@dataclass(frozen=True)
class Arena:
    """The servers of one language, ours first, and the targets of DESIGN section 9."""

    name: str
    command: Sequence[str | Path]
    """Starts a server: `{app}` and `{port}` are replaced."""

    ours: str
    rivals: dict[str, str]
    """The peers' names and apps."""

    targets: dict[tuple[str, str], float]
    """By peer and metric."""

    def start(self, app: str) -> Server:
        """One server, ready to answer."""
        return Server(app, [str(part).replace("{app}", app) for part in self.command])


ARENAS = (
    Arena(
        "uvicorn",
        [
            *(sys.executable, "-m", "uvicorn", "{app}:app", "--app-dir", "python/servers"),
            *("--host", HOST, "--port", "{port}", "--log-level", "error", "--no-access-log"),
        ],
        "ssehub_app",
        {
            "sse-starlette": "sse_starlette_app",
            "FastAPI's own": "fastapi_native_app",
            "bare ASGI (floor)": "bare_asgi_app",
        },
        {
            ("sse-starlette", "cpu_per_delivery"): 0.65,
            ("sse-starlette", "memory_per_connection"): 0.5,
        },
    ),
    Arena(
        "Express",
        ["node", "--expose-gc", "node/servers/{app}.js", "{port}"],
        "ssehub_app",
        {"better-sse": "better_sse_app", "res.write loop (floor)": "res_write_app"},
        {("better-sse", "cpu_per_delivery"): 0.8},
    ),
)

Samples = dict[str, list[float]]


def measure(run: Run) -> None:
    """All servers, a fresh process each time, in turn."""
    if not Path("/proc/self/smaps_rollup").exists():
        raise WorkerError("needs Linux: processor time and memory are read from /proc")
    run.report.versions |= versions()
    for arena in ARENAS:
        apps = [arena.ours, *arena.rivals.values()]
        samples: dict[str, Samples] = {app: {} for app in apps}
        broken: set[str] = set()
        for turn in range(run.settings.repeat):
            for app in apps:
                if app in broken:
                    continue
                run.progress(f"{arena.name}: {app}, round {turn + 1} of {run.settings.repeat}")
                try:
                    figures = measure_once(arena, app, run.settings)
                except WorkerError as error:
                    run.report.failures.append(f"{arena.name}: {error}")
                    broken.add(app)
                else:
                    for key, value in figures.items():
                        samples[app].setdefault(key, []).append(value)
        run.report.details |= {f"{arena.name}/{app}": taken for app, taken in samples.items()}
        add_rows(run, arena, samples)


def measure_once(arena: Arena, app: str, settings: Settings) -> dict[str, float]:
    """The figures of one server process."""
    with arena.start(app) as server:
        address = f"{HOST}:{server.port}"
        with Worker("load client", [RUST / "load", address]) as warm_up:
            warm_up.ask(phase="connect", path="/events", clients=WARM_UP_CLIENTS)
            warm_up.ask(phase="paced", events=WARM_UP_EVENTS, size=EVENT_BYTES)
        with Worker("load client", [RUST / "load", address]) as load:
            before = server.resident_bytes()
            load.ask(phase="connect", path="/events", clients=settings.clients)
            memory = (server.resident_bytes() - before) / settings.clients
            load.ask(phase="paced", events=WARM_UP_EVENTS, size=EVENT_BYTES)
            idle = load.ask(phase="hold", seconds=settings.idle_seconds, probe="/fast")
            paced = phase(server, load, phase="paced", events=settings.paced_events)
            few = settings.paced_events // 2
            busy = phase(server, load, phase="paced", events=few, probe="/fast")
            burst = phase(server, load, phase="burst", events=settings.burst_events)
    return {
        "cpu_per_delivery": paced["cpu"] / paced["deliveries"],
        "seconds_per_delivery": paced["seconds"] / paced["deliveries"],
        "burst_cpu_per_delivery": burst["cpu"] / burst["deliveries"],
        "burst_seconds_per_delivery": burst["seconds"] / burst["deliveries"],
        "memory_per_connection": memory,
        "latency_p50": paced["latency"]["p50_ms"],
        "latency_p99": paced["latency"]["p99_ms"],
        "round_p50": paced["round"]["p50_ms"],
        "fast_p99": busy["probe"]["p99_ms"],
        "fast_idle_p99": idle["probe"]["p99_ms"],
    }


def phase(server: Server, load: Worker, **request: object) -> dict[str, Any]:
    """One phase of the load client, with the processor time that the server spent on it."""
    before = server.cpu_seconds()
    answer = load.ask(size=EVENT_BYTES, **request)
    answer["cpu"] = server.cpu_seconds() - before
    if answer["order_errors"]:
        raise WorkerError(f"{server.name}: {answer['order_errors']} events missing or out of order")
    return answer


def add_rows(run: Run, arena: Arena, samples: dict[str, Samples]) -> None:
    """A row per metric and peer."""
    for metric in METRICS:
        for name, app in arena.rivals.items():
            run.report.rows.append(
                Row(
                    f"{arena.name}, {run.settings.clients:,} clients",
                    metric.title,
                    name,
                    metric.unit,
                    samples[arena.ours].get(metric.key, []),
                    samples[app].get(metric.key, []),
                    metric.kind,
                    arena.targets.get((name, metric.key)),
                )
            )


def versions() -> dict[str, str]:
    """What the servers are built of."""
    found = {}
    for name in ("ssehub", "sse-starlette", "fastapi", "starlette", *SERVER_PARTS):
        with suppress(PackageNotFoundError):
            found[f"Python/{name}"] = version(name)
    node = BENCH / "node" / "node_modules"
    for package in (BENCH.parent, node / "express", node / "better-sse"):
        manifest = json.loads((package / "package.json").read_text())
        found[f"Node/{manifest['name']}"] = manifest["version"]
    return found
