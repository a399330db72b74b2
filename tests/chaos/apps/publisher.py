"""Publishes what the plan says, writes it down, and at times ends streams. A thread of the server's own."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import defaultdict
from pathlib import Path

from plan import KEYS, PLAN

from ssehub import Event, History, Hub, Limits, StreamInfo, Subscription, pattern

TICK = 0.01


def make_hub() -> Hub:
    histories = {name: History(**history) for name, history in PLAN["histories"].items()}
    return Hub(
        topics=histories,
        retry=PLAN["retry"],
        heartbeat=PLAN["heartbeat"],
        max_lag=PLAN["max_lag"],
        limits=Limits(event_size=PLAN["event_size"], connections_per_key=PLAN["streams_per_key"]),
    )


def subscribe(hub: Hub, topics: str, room_pattern: str | None, slow: str) -> Subscription:
    names = [name for name in topics.split(",") if name]
    rooms = [pattern(room_pattern)] if room_pattern else []
    return hub.subscribe(*names, *rooms, slow=slow)  # type: ignore[arg-type]


class Publisher:
    """Publishes until it is stopped. It alone does, so it knows which event of a topic was the last."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._dice = random.Random()
        self._sources = PLAN["sources"]
        self._shares = [source["share"] for source in self._sources]
        self._count: defaultdict[str, int] = defaultdict(int)
        self._last: defaultdict[str, int] = defaultdict(int)
        self._lines: list[str] = []
        self._journal = -1
        self._stopping = threading.Event()
        self.told = {"opened": 0, "closed": 0}
        self._lock = threading.Lock()
        hub.on_open(lambda info: self._tell("opened", info))
        hub.on_close(lambda info: self._tell("closed", info))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Publishes no more. All that has been published is written down then."""
        self._stopping.set()
        self._thread.join()

    def snapshot(self) -> Event:
        """The state: up to which event it has all. Too large for a client to take it at once."""
        head = self._hub.last_event_id.partition("-")[2]
        return Event(f"{head};{'x' * 3000}", event="snapshot")

    def _tell(self, what: str, _: StreamInfo) -> None:
        with self._lock:
            self.told[what] += 1

    def _run(self) -> None:
        epoch = self._hub.last_event_id.partition("-")[0]
        path = Path(os.environ["CHAOS_JOURNALS"]) / f"{epoch}.journal"
        self._journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        owed = 0.0
        before = time.monotonic()
        while not self._stopping.wait(TICK):
            now = time.monotonic()
            owed += (now - before) * PLAN["rate"]
            before = now
            if self._dice.random() < 0.002:
                # All at once: more than some histories have.
                owed += PLAN["rate"] * self._dice.random()
            while owed >= 1:
                owed -= 1
                self._publish()
            self._write()
            self._end_somebody()

    def _publish(self) -> None:
        source = self._dice.choices(self._sources, self._shares)[0]
        room = self._dice.randrange(source.get("rooms", 1))
        topics = [topic.replace("*", str(room)) for topic in source["topics"]]
        marks = []
        for topic in topics:
            self._count[topic] += 1
            marks.append(f"{topic}={self._count[topic]}/{self._last[topic]}")
        size = self._dice.randrange(*source.get("size", (10, 200)))
        data = f"{' '.join(marks)};{'x' * size}"
        key = str(self._count["keyed"] % KEYS) if topics == ["keyed"] else None
        # Before it is published: whoever has seen it, saw it after that.
        now = time.monotonic()
        id = self._hub.publish_wait(topics, data, key=key)
        seq = int(id.partition("-")[2])
        for topic in topics:
            self._last[topic] = seq
            self._lines.append(f"{topic} {seq} {now:.6f} {len(data)}\n")

    def _write(self) -> None:
        if self._lines:
            os.write(self._journal, "".join(self._lines).encode())
            self._lines.clear()

    def _end_somebody(self) -> None:
        """What logouts and administrators do."""
        chance = self._dice.random()
        farewell = self._dice.choice((None, Event("logged out", event="bye")))
        if chance < 0.01:
            number = self._dice.randrange(int(os.environ["CHAOS_CLIENTS"]))
            self._hub.disconnect(key=f"client-{number}", event=farewell)
        elif chance < 0.0105:
            self._hub.disconnect(topic=self._dice.choice(("short", "mid", "quiet")), event=farewell)
