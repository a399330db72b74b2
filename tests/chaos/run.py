"""Chaos: real servers that end in the middle, clients that leave in every way, and an oracle that watches each of them.

CHAOS_SECONDS=60 make chaos              # ten minutes by default
CHAOS_SERVERS=uvicorn,express make chaos # all by default
CHAOS_SEED=7 make chaos                  # the clients' dice; the system has its own
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from client import Client, Load
from journal import Journal, Judge
from servers import KINDS, Kind, Look, Server, serving

from processes import free_port

SECONDS = float(os.environ.get("CHAOS_SECONDS", "600"))
CLIENTS = int(os.environ.get("CHAOS_CLIENTS", "250"))
# After this part of the time the server is left alone, so that what it leaks is seen.
RESTLESS = 0.6
# What a server does to its clients, and how often.
DISTURBANCES = {"SIGTERM": 3, "SIGKILL": 2, "drain": 2}
# Those of servers with workers.
RENEWALS = {"SIGHUP": 2, "worker": 2}
# Memory that a life may gain, in MiB, after its clients have come: histories, and what allocators keep.
GROWTH = 32.0
PROBLEMS_SHOWN = 20


@dataclass
class Outcome:
    """What was seen of one server."""

    kind: Kind
    problems: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def say(self, name: str, text: object) -> None:
        self.lines.append(f"  {name:22} {text}")


async def chaos(server: Server, seconds: float, dice: random.Random, outcome: Outcome) -> None:
    """One server, from its first life to its last."""
    load = Load(server.port, server.kind.handoffs, asyncio.Event())
    fresh = await asyncio.to_thread(server.start)
    clients = [Client(n, load, random.Random(dice.random())) for n in range(CLIENTS)]
    tasks = [asyncio.create_task(client.live()) for client in clients]
    tasks.append(asyncio.create_task(watch_silence(clients, load)))
    try:
        disturbances = await disturb(server, load, dice, seconds * RESTLESS, outcome)
        await asyncio.sleep(min(5, seconds * 0.1))
        loaded = await asyncio.to_thread(server.look)
        await asyncio.sleep(seconds * (1 - RESTLESS))
        await settle(server, load, clients, outcome)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                outcome.problems.append(f"the rig: {result!r}")
    await leave(server, fresh, loaded, outcome)
    outcome.problems += load.violations
    outcome.problems += await asyncio.to_thread(judge_all, server, clients, outcome)
    tell(load, clients, disturbances, outcome)


async def watch_silence(clients: list[Client], load: Load) -> None:
    while True:
        await asyncio.sleep(1)
        for client in clients:
            if client.stream is not None:
                client.stream.check_silence(load.disturbed)


async def disturb(
    server: Server, load: Load, dice: random.Random, seconds: float, outcome: Outcome
) -> Counter[str]:
    """Ends the server, or its streams, again and again. How often, and how."""
    done: Counter[str] = Counter()
    until = time.monotonic() + seconds
    every = max(4.0, min(20.0, seconds / 6))
    while True:
        await asyncio.sleep(dice.uniform(0.5, 1.5) * every)
        if time.monotonic() > until:
            return done
        known = {**DISTURBANCES, **(RENEWALS if server.kind.has_workers else {})}
        what = dice.choices(list(known), list(known.values()))[0]
        done[what] += 1
        load.disturbed = float("inf")
        if what == "drain":
            await asyncio.to_thread(server.post, "/drain")
        elif what in RENEWALS:
            await asyncio.to_thread(server.renew, what)
        else:
            try:
                took = await asyncio.to_thread(server.end, getattr(signal, what))
            except subprocess.TimeoutExpired:
                outcome.problems.append(f"the server does not end by {what}")
                await asyncio.to_thread(server.kill)
            else:
                done["slowest end, s"] = max(done["slowest end, s"], round(took))
            await asyncio.to_thread(server.start)
        load.disturbed = time.monotonic()


async def settle(server: Server, load: Load, clients: list[Client], outcome: Outcome) -> None:
    """Everybody reads; then nothing more is published, and everybody must have it all."""
    load.calm.set()
    await wait_until(lambda: all(c.stream is not None and c.stream.begun for c in clients), 30)
    await asyncio.sleep(3)
    try:
        await asyncio.to_thread(server.post, "/stop")
    except OSError as error:
        outcome.problems.append(f"the server does not answer at the end: {error!r}")
        return
    epoch = server.epoch()
    last = Journal(server.journals / f"{epoch}.journal").last()

    def missing(at_last: bool = False) -> list[str]:
        found = []
        for client in clients:
            wrong = client.seen.missing(epoch, last, time.monotonic(), at_last)
            if wrong is not None:
                found.append(f"{client}: {wrong}")
        return found

    await wait_until(lambda: not missing(), 20)
    outcome.problems += missing(at_last=True)
    looked = await asyncio.to_thread(server.look)
    # Two of a key are over its limit, and come and go.
    stats = looked.stats
    outcome.say("modes at the end", stats["connections_by_mode"])
    outcome.say("hand-offs refused", {k: n for k, n in stats["handoffs_refused"].items() if n})


async def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Waits for it, but no longer than that: who asks looks again."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing to await
        await asyncio.sleep(0.25)


async def leave(server: Server, fresh: Look, loaded: Look, outcome: Outcome) -> None:
    """All clients have gone: the server must be as it was before the first came, and must end."""
    deadline = time.monotonic() + 40
    while True:
        look = await asyncio.to_thread(server.look)
        told = look.stats["told"]
        # One that stalled without a word is cut after 30 seconds.
        if look.connections == 0 and told["opened"] == told["closed"]:
            break
        if time.monotonic() > deadline:
            outcome.problems.append(f"left behind: {look.stats}")
            break
        await asyncio.sleep(0.25)
    outcome.say(
        "memory, MiB", f"{fresh.rss:.1f} fresh, {loaded.rss:.1f} loaded, {look.rss:.1f} at the end"
    )
    outcome.say(
        "descriptors",
        f"{fresh.descriptors} fresh, {loaded.descriptors} with {loaded.connections} streams, "
        f"{look.descriptors} at the end",
    )
    closed = {reason: n for reason, n in look.stats["closed"].items() if n}
    outcome.say("last life", f"opened {look.stats['opened']}, closed {closed}")
    if look.rss > loaded.rss + GROWTH:
        outcome.problems.append(f"memory grows: {loaded.rss:.1f} to {look.rss:.1f} MiB")
    # The writer's own three come with the first stream.
    if look.descriptors > fresh.descriptors + 6:
        outcome.problems.append(f"descriptors: {fresh.descriptors} to {look.descriptors}")
    if sum(closed.values()) != look.stats["opened"]:
        outcome.problems.append(f"opened and closed differ: {look.stats}")
    try:
        await asyncio.to_thread(server.end, signal.SIGTERM)
    except subprocess.TimeoutExpired:
        outcome.problems.append("the server does not end")
    outcome.problems += [f"the server's log:\n{text}" for text in server.complaints()]


def judge_all(server: Server, clients: list[Client], outcome: Outcome) -> list[str]:
    judge = Judge(server.journals)
    wrong = [f"{client}: {what}" for client in clients for what in judge.judge(client.seen)]
    gaps = sum(len(client.seen.told) for client in clients)
    holes = sum(len(client.seen.holes) for client in clients)
    outcome.say("gaps judged", f"{gaps} gap events, {holes} holes: {len(wrong)} wrong")
    return wrong


def tell(load: Load, clients: list[Client], disturbances: Counter[str], outcome: Outcome) -> None:
    counts = load.counts
    gaps: Counter[str] = sum((client.seen.gaps for client in clients), Counter())
    outcome.say("clients", len(clients))
    outcome.say("connections", counts["connections"])
    outcome.say("disturbances", dict(disturbances))
    outcome.say("cuts", dict(load.cuts))
    ends = {name: n for name, n in counts.items() if name not in ("events", "connections")}
    outcome.say("ends by the server", ends)
    outcome.say("events", counts["events"])
    outcome.say("gaps", dict(gaps))
    outcome.say("lost without a gap", sum("lost without" in text for text in outcome.problems))
    outcome.say("doubled", sum("doubled" in text for text in outcome.problems))


def run(kind: Kind, seconds: float, seed: int) -> Outcome:
    outcome = Outcome(kind)
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        serving(kind, free_port(), CLIENTS, Path(folder)) as server,
    ):
        try:
            asyncio.run(chaos(server, seconds, random.Random(seed), outcome))
        except Exception as error:  # noqa: BLE001 - the other servers still have their turn
            outcome.problems.append(f"the rig: {error!r}\n{server.output()[-3000:]}")
    return outcome


def main() -> int:
    known = {kind.name: kind for kind in KINDS}
    names = os.environ.get("CHAOS_SERVERS", "").split(",")
    if unknown := set(names) - {"", *known}:
        sys.exit(f"CHAOS_SERVERS: {', '.join(unknown)}: there are {', '.join(known)}")
    kinds = [kind for kind in KINDS if kind.name in names] or list(KINDS)
    seed = int(os.environ.get("CHAOS_SEED", time.time_ns() % 1_000_000))
    print(f"chaos: {SECONDS:.0f} s over {len(kinds)} servers, {CLIENTS} clients, seed {seed}")
    failed = False
    for kind in kinds:
        outcome = run(kind, SECONDS / len(kinds), seed)
        print(f"\n{kind.name}", *outcome.lines, sep="\n", flush=True)
        for problem in outcome.problems[:PROBLEMS_SHOWN]:
            print(f"  WRONG: {problem}", flush=True)
        print(f"  {len(outcome.problems)} problems" if outcome.problems else "  no problem")
        failed |= bool(outcome.problems)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
