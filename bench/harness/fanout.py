"""Fan-out: one publisher, many clients, one server process after the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from .contestants import (
    CONTESTANTS,
    Contestant,
    Figures,
    Results,
    load_client,
    measure_in_turn,
    phase,
)
from .report import (
    KIBIBYTES,
    MICROSECONDS,
    MILLISECONDS,
    PER_SECOND,
    Ratio,
    Row,
    Table,
    Unit,
)
from .server import Server, most_clients
from .settings import Run
from .worker import Worker

BURST = 100
MORE = 3
"""So many times the greater number of clients come in the end, to see what one more takes."""


@dataclass(frozen=True)
class Metric:
    """One figure of a server: a line of the report, and a column."""

    title: str
    column: str
    unit: Unit


METRICS = {
    "cpu": Metric("CPU per delivery, paced", "CPU", MICROSECONDS),
    "rate": Metric("deliveries, paced", "deliveries", PER_SECOND),
    "each_p50": Metric("publish to each client, p50", "each p50", MILLISECONDS),
    "each_p99": Metric("publish to each client, p99", "each p99", MILLISECONDS),
    "last_p50": Metric("publish to the last client, p50", "last p50", MILLISECONDS),
    "burst_cpu": Metric("CPU per delivery, burst", "burst CPU", MICROSECONDS),
    "burst_rate": Metric("deliveries, burst", "burst deliveries", PER_SECOND),
    "memory": Metric("memory per connection", "memory", KIBIBYTES),
    "one_more": Metric("memory of one more connection", "one more", KIBIBYTES),
    "call_p50": Metric("a publish call, p50", "call p50", MICROSECONDS),
    "call_p99": Metric("a publish call, p99", "call p99", MICROSECONDS),
    "apart_p50": Metric("a publish call, 1 ms apart, p50", "call apart p50", MICROSECONDS),
    "apart_p99": Metric("a publish call, 1 ms apart, p99", "call apart p99", MICROSECONDS),
    "route_idle": Metric("trivial route, idle, p99", "route idle p99", MILLISECONDS),
    "route_calm": Metric("trivial route, 10 broadcasts/s, p99", "route at 10/s p99", MILLISECONDS),
    "route_full": Metric(
        "trivial route, broadcasts without end, p99", "route at full p99", MILLISECONDS
    ),
}


@dataclass(frozen=True)
class Claim:
    """A row: one figure of ours beside a peer's, or beside another of our own figures."""

    ours: str
    metric: str
    kind: Ratio
    target: float | None = None
    peer: str | None = None
    peer_metric: str | None = None
    small: bool = False
    """With the few clients, not with the many."""


def _claims() -> list[Claim]:
    """The targets of DESIGN section 9, and what else is worth a line."""
    claims = []
    for ours, call in (
        ("uvicorn detached", 2.0),
        ("gunicorn sync detached", 2.0),
        ("Express detached", 3.0),
    ):
        claims += [
            Claim(ours, "cpu", Ratio.SHARE, 1.15, "raw loop"),
            Claim(ours, "burst_rate", Ratio.RATE, 0.7, "raw loop"),
            Claim(ours, "burst_cpu", Ratio.SHARE, None, "raw loop"),
            Claim(ours, "memory", Ratio.FIGURE, 0.5),
            Claim(ours, "one_more", Ratio.FIGURE, 0.5),
            Claim(ours, "call_p50", Ratio.FIGURE, call),
            Claim(ours, "apart_p50", Ratio.FIGURE, call),
            Claim(ours, "route_calm", Ratio.SHARE, 2, ours, "route_idle"),
            Claim(ours, "route_full", Ratio.SHARE, 2, ours, "route_idle"),
        ]
        if not ours.startswith("Express"):
            claims += [
                Claim(ours, "cpu", Ratio.SPEEDUP, 5, "sse-starlette"),
                Claim(ours, "burst_rate", Ratio.RATE, 20, "sse-starlette"),
            ]
    for metric in ("each_p99", "route_full"):
        claims.append(Claim("uvicorn detached", metric, Ratio.SPEEDUP, None, "sse-starlette"))
    claims.append(Claim("Express detached", "cpu", Ratio.SPEEDUP, 1.8, "better-sse"))
    for metric in ("burst_rate", "rate"):
        claims.append(Claim("Express detached", metric, Ratio.RATE, None, "better-sse"))
    claims.append(Claim("Express detached", "cpu", Ratio.SPEEDUP, None, "res.write loop"))
    claims += [
        Claim(ours, "cpu", Ratio.SHARE, None, "raw loop")
        for ours in ("uvicorn held", "Express held")
    ]
    for small in (True, False):
        claims += [
            Claim("uvicorn in-loop", "cpu", Ratio.SHARE, 0.65, "sse-starlette", small=small),
            Claim("uvicorn in-loop", "memory", Ratio.SHARE, 0.5, "sse-starlette", small=small),
            Claim("uvicorn in-loop", "cpu", Ratio.SHARE, None, "bare ASGI", small=small),
            Claim("Express in-loop", "cpu", Ratio.SHARE, 0.8, "better-sse", small=small),
            Claim("Express in-loop", "cpu", Ratio.SHARE, None, "res.write loop", small=small),
        ]
    claims += [
        Claim("uvicorn in-loop", "cpu", Ratio.SPEEDUP, None, "FastAPI's own", small=True),
        Claim("uvicorn detached", "cpu", Ratio.SPEEDUP, None, "FastAPI's own", small=True),
    ]
    return claims


def measure(run: Run) -> None:
    """All servers in turn; a table per number of clients, and a row per claim."""
    names = [contestant.name for contestant in CONTESTANTS]
    results = measure_in_turn(run, run.settings.rounds, names, partial(measure_once, run))
    for (name, clients), samples in results.items():
        run.report.details[f"{name}, {clients} clients"] = samples
    for claim in _claims():
        if run.wants(claim.ours) and (claim.peer is None or run.wants(claim.peer)):
            run.report.rows.append(row(run, claim, results))
    for clients in run.settings.clients:
        run.report.tables.append(table(clients, results))


def measure_once(run: Run, contestant: Contestant, server: Server) -> dict[int, Figures]:
    """First with few clients, then with many."""
    figures: dict[int, Figures] = {}
    small, large = run.settings.clients
    with load_client(server) as load:
        connected = 0
        for clients in (small,) if contestant.small_only else (small, large):
            memory = memory_of_more(contestant, server, load, connected, clients)
            connected = clients
            figures[clients] = {"memory": memory, **fan_out(run, server, load)}
            if clients == large:
                figures[clients] |= side_effects(run, contestant, server, load)
                if contestant.handoff == "detach":
                    figures[clients] |= one_more(contestant, server, load, clients)
    return figures


def memory_of_more(
    contestant: Contestant, server: Server, load: Worker, connected: int, clients: int
) -> float:
    """Opens more streams, up to so many. The bytes that one of these takes."""
    before = server.user_memory()
    load.ask(phase="connect", path="/events", clients=clients - connected)
    contestant.check_mode(server, clients)
    return (server.user_memory() - before) / (clients - connected)


def one_more(contestant: Contestant, server: Server, load: Worker, clients: int) -> Figures:
    """What a connection takes where there are many: more than the ups and downs of a heap, spread over them."""
    many = most_clients(MORE * clients)
    if many <= clients:
        return {}
    return {"one_more": memory_of_more(contestant, server, load, clients, many)}


def fan_out(run: Run, server: Server, load: Worker) -> Figures:
    """One event after the other, then bursts."""
    seconds = run.settings.phase_seconds
    phase(server, load, phase="paced", events=5)
    paced = phase(server, load, phase="paced", events=run.settings.paced_events, seconds=seconds)
    burst = phase(
        server, load, phase="burst", events=BURST, repeat=run.settings.bursts, seconds=seconds
    )
    return {
        "cpu": paced["cpu"] / paced["deliveries"],
        "rate": paced["deliveries"] / paced["seconds"],
        "each_p50": paced["latency"]["p50_ms"],
        "each_p99": paced["latency"]["p99_ms"],
        "last_p50": paced["round"]["p50_ms"],
        "burst_cpu": burst["cpu"] / burst["deliveries"],
        "burst_rate": burst["deliveries"] / burst["seconds"],
        **calls("call", burst),
    }


def side_effects(run: Run, contestant: Contestant, server: Server, load: Worker) -> Figures:
    """What the rest of the application notices of its streams."""
    seconds = run.settings.phase_seconds
    figures: Figures = {}
    if contestant.handoff is not None:
        # A peer would need minutes to deliver so many events.
        many = run.settings.calls
        figures |= calls("call", phase(server, load, phase="burst", events=many))
        # In-loop, the next call waits until all streams have been served.
        few = many if contestant.handoff != "off" else many // 10
        apart = phase(server, load, phase="burst", events=few, pause_ms=1)
        figures |= calls("apart", apart)
    endless = {"phase": "paced", "events": 1_000_000}
    requests: dict[str, dict[str, object]] = {
        "route_idle": {"phase": "hold"},
        "route_calm": {**endless, "every_ms": 100},
        "route_full": endless,
    }
    for key, request in requests.items():
        answer = phase(server, load, seconds=seconds, probe="/fast", **request)
        figures[key] = answer["probe"]["p99_ms"]
    return figures


def calls(name: str, answer: dict[str, dict[str, float | None]]) -> Figures:
    """The times of the publish calls in seconds; none where the server has no such call."""
    times = {key: answer["calls"][f"{key}_ms"] for key in ("p50", "p99")}
    return {f"{name}_{key}": time / 1000 for key, time in times.items() if time is not None}


def row(run: Run, claim: Claim, results: Results) -> Row:
    """The claim as it turned out."""
    small, large = run.settings.clients
    clients = small if claim.small else large
    peer = results.get((claim.peer, clients), {}) if claim.peer else {}
    peer_name = claim.peer or ""
    if claim.peer == claim.ours and claim.peer_metric:
        peer_name = f"itself, {METRICS[claim.peer_metric].title}"
    return Row(
        f"{claim.ours}, {clients:,} clients",
        METRICS[claim.metric].title,
        peer_name,
        METRICS[claim.metric].unit,
        results.get((claim.ours, clients), {}).get(claim.metric, ()),
        peer.get(claim.peer_metric or claim.metric, ()),
        claim.kind,
        claim.target,
    )


def table(clients: int, results: Results) -> Table:
    """All figures of all servers, side by side."""
    columns = {metric.column: metric.unit for metric in METRICS.values()}
    lines = {
        name: [samples.get(key, []) for key in METRICS]
        for (name, size), samples in results.items()
        if size == clients
    }
    return Table(f"Fan-out, {clients:,} clients", columns, lines)
