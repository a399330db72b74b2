"""The servers that fan out, and how they are measured in turn."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .compare import RUST
from .server import HOST, Server
from .settings import Run
from .worker import BENCH, Worker, WorkerError

EVENT_BYTES = 150
PYTHON_PARTS = (
    *("ssehub", "sse-starlette", "fastapi", "starlette", "flask"),
    *("uvicorn", "uvloop", "httptools", "gunicorn"),
)
MODES = {"detach": "detached", "hold": "held", "off": None}
"""What `handoff=` asks for, and the gauge that says so; nothing counts the streams in-loop."""


@dataclass(frozen=True)
class Contestant:
    """A server, by the name that the report gives it."""

    name: str
    command: Sequence[str | Path]
    """`{port}` is replaced."""

    handoff: str | None = None
    """Of ours: who shall write the sockets."""

    small_only: bool = False
    """With thousands of clients it would take minutes."""

    def start(self) -> Server:
        """A server, ready to answer."""
        environment = {} if self.handoff is None else {"HANDOFF": self.handoff}
        return Server(self.name, self.command, environment)

    def check_mode(self, server: Server, clients: int) -> None:
        """Raise WorkerError unless the streams are in the mode that was asked for."""
        if self.handoff is None:
            return
        metrics = server.request("GET", "/metrics")
        gauges = dict(re.findall(r"^ssehub_(\w+) (\d+)$", metrics, re.MULTILINE))
        for mode in filter(None, MODES.values()):
            count = int(gauges.get(mode, 0))
            if count != (clients if mode == MODES[self.handoff] else 0):
                refused = re.findall(
                    r'^ssehub_handoffs_refused_total\{reason="(\w+)"', metrics, re.MULTILINE
                )
                raise WorkerError(
                    f"{self.name}: {count} of {clients} streams are {mode}; "
                    f"refused: {', '.join(refused) or 'none'}"
                )


def _uvicorn(app: str) -> Sequence[str | Path]:
    return [
        *(sys.executable, "-m", "uvicorn", f"{app}:app", "--app-dir", "python/servers"),
        *("--host", HOST, "--port", "{port}", "--log-level", "error", "--no-access-log"),
    ]


def _gunicorn(app: str) -> Sequence[str | Path]:
    return [
        *(sys.executable, "-m", "gunicorn", "--workers", "1", "--worker-class", "sync"),
        *("--chdir", "python/servers", "--bind", f"{HOST}:{{port}}", "--log-level", "error"),
        f"{app}:app",
    ]


def _node(app: str) -> Sequence[str | Path]:
    # The heap's young generation has its full size at once, as in a server that has been busy:
    # its growth is no memory of the connections.
    flags = ("--expose-gc", "--min-semi-space-size=16")
    return ["node", *flags, f"node/servers/{app}.js", "{port}"]


CONTESTANTS = (
    Contestant("raw loop", [RUST / "raw", "{port}"]),
    Contestant("uvicorn detached", _uvicorn("ssehub_app"), "detach"),
    Contestant("gunicorn sync detached", _gunicorn("ssehub_flask_app"), "detach"),
    Contestant("Express detached", _node("ssehub_app"), "detach"),
    Contestant("uvicorn held", _uvicorn("ssehub_app"), "hold"),
    Contestant("Express held", _node("ssehub_app"), "hold"),
    Contestant("uvicorn in-loop", _uvicorn("ssehub_app"), "off"),
    Contestant("Express in-loop", _node("ssehub_app"), "off"),
    Contestant("sse-starlette", _uvicorn("sse_starlette_app")),
    Contestant("FastAPI's own", _uvicorn("fastapi_native_app"), small_only=True),
    Contestant("bare ASGI", _uvicorn("bare_asgi_app")),
    Contestant("better-sse", _node("better_sse_app")),
    Contestant("res.write loop", _node("res_write_app")),
)

Figures = dict[str, float]
Samples = dict[str, list[float]]
Results = dict[tuple[str, int], Samples]
"""By contestant and number of clients, all samples of each figure."""

Measure = Callable[[Contestant, Server], dict[int, Figures]]
"""The figures of one server process, by number of clients."""


def measure_in_turn(run: Run, rounds: int, names: Sequence[str], measure: Measure) -> Results:
    """Each of these contestants in turn, a fresh process each time: A B C, A B C, ..."""
    if not Path("/proc/self/schedstat").exists():
        raise WorkerError("needs Linux: processor time and memory are read from /proc")
    run.report.versions |= versions()
    field = [entry for entry in CONTESTANTS if entry.name in names and run.wants(entry.name)]
    results: Results = {}
    broken: set[str] = set()
    for turn in range(rounds):
        for contestant in field:
            if contestant.name in broken:
                continue
            run.progress(f"{contestant.name}, round {turn + 1} of {rounds}")
            try:
                with contestant.start() as server:
                    warm_up(server)
                    taken = measure(contestant, server)
            except WorkerError as error:
                run.report.failures.append(str(error))
                broken.add(contestant.name)
                continue
            for clients, figures in taken.items():
                samples = results.setdefault((contestant.name, clients), {})
                for key, value in figures.items():
                    samples.setdefault(key, []).append(value)
    return results


def warm_up(server: Server) -> None:
    """A few clients come, get some events, and leave."""
    with load_client(server) as load:
        load.ask(phase="connect", path="/events", clients=20)
        phase(server, load, phase="paced", events=30)
        phase(server, load, phase="burst", events=100)


def load_client(server: Server) -> Worker:
    """Clients of that server."""
    return Worker(f"{server.name}: load client", [RUST / "load", server.address])


def phase(server: Server, load: Worker, **request: object) -> dict[str, Any]:
    """One phase of the load client, with the processor time that the server spent on it."""
    before = server.cpu_seconds()
    answer = load.ask(size=EVENT_BYTES, **request)
    answer["cpu"] = server.cpu_seconds() - before
    if answer["order_errors"]:
        raise WorkerError(f"{server.name}: {answer['order_errors']} events missing or out of order")
    return answer


def versions() -> dict[str, str]:
    """What the servers are built of."""
    found = {}
    for name in PYTHON_PARTS:
        with suppress(PackageNotFoundError):
            found[f"Python/{name}"] = version(name)
    node = BENCH / "node" / "node_modules"
    for package in (BENCH.parent, node / "express", node / "better-sse"):
        manifest = json.loads((package / "package.json").read_text())
        found[f"Node/{manifest['name']}"] = manifest["version"]
    return found
