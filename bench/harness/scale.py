"""As many clients as this machine allows, each with a topic of its own beside the common one."""

from __future__ import annotations

from .contestants import Contestant, Figures, load_client, measure_in_turn, phase
from .report import KIBIBYTES, MILLISECONDS, SECONDS, Table, figure
from .server import Server, kernel_memory, most_clients
from .settings import Run

SERVERS = ("uvicorn detached", "gunicorn sync detached")
WATCHERS = 50
"""Clients that get private messages, on top of the others."""

BROADCASTS = 20
IDLE_SECONDS = 3

COLUMNS = {
    "open": ("opened in", SECONDS),
    "user": ("user memory", KIBIBYTES),
    "kernel": ("kernel memory, both ends", KIBIBYTES),
    "broadcast_p50": ("broadcast, p50", MILLISECONDS),
    "broadcast_max": ("broadcast, slowest", MILLISECONDS),
    "private_idle": ("private message, idle, p99", MILLISECONDS),
    "private_busy": ("private message during broadcasts, p99", MILLISECONDS),
    "route_idle": ("trivial route, idle, p99", MILLISECONDS),
    "route_busy": ("trivial route during broadcasts, p99", MILLISECONDS),
}


def measure(run: Run) -> None:
    """One table, and a row for what a connection takes."""
    wanted = run.settings.scale_clients
    clients = most_clients(wanted)
    if clients < wanted:
        run.progress(f"{clients:,} clients instead of {wanted:,}: the limit of open files")

    def measure_once(contestant: Contestant, server: Server) -> dict[int, Figures]:
        return {clients: open_and_broadcast(contestant, server, clients)}

    results = measure_in_turn(run, 1, SERVERS, measure_once)
    lines = {}
    for name in filter(run.wants, SERVERS):
        samples = results.get((name, clients), {})
        run.report.details[f"{name}, scale"] = samples
        lines[name] = [samples.get(key, []) for key in COLUMNS]
        run.report.rows.append(
            figure(
                f"{name}, {clients:,} clients",
                "memory per connection and topic of its own",
                KIBIBYTES,
                samples.get("user", ()),
            )
        )
    run.report.tables.append(Table(f"Scale, {clients:,} clients", dict(COLUMNS.values()), lines))


def open_and_broadcast(contestant: Contestant, server: Server, clients: int) -> Figures:
    """All clients, then silence, then one broadcast after the other."""
    with load_client(server) as load:
        user, kernel = server.user_memory(), kernel_memory()
        opened = load.ask(phase="connect", path="/events?topic=own-{n}", clients=clients)
        contestant.check_mode(server, clients)
        memory = {
            "user": (server.user_memory() - user) / clients,
            "kernel": (kernel_memory() - kernel) / clients,
        }
        beside = {"private": WATCHERS, "probe": "/fast"}
        idle = phase(server, load, phase="hold", seconds=IDLE_SECONDS, **beside)
        busy = phase(server, load, phase="paced", events=BROADCASTS, **beside)
    return {
        "open": opened["seconds"],
        **memory,
        "broadcast_p50": busy["round"]["p50_ms"],
        "broadcast_max": busy["round"]["max_ms"],
        "private_idle": idle["private"]["p99_ms"],
        "private_busy": busy["private"]["p99_ms"],
        "route_idle": idle["probe"]["p99_ms"],
        "route_busy": busy["probe"]["p99_ms"],
    }
