"""What one client may see: its stream, event by event, across all its connections.

The promises (ids name an epoch, which is one life of a hub, and a sequence number):

- Within an epoch ids grow, always: over reconnects, gap events and snapshots. Nothing comes twice.
- An event says which event of its topic came before it. That one has been seen, or lies before the position at which
  the client started, or a gap event has told of its loss. Whether one really has is for `journal.py` to judge.
- A stream resumes at exactly the id that the client came with, or tells a gap first. With an id of another epoch the
  gap is `unknown`, and nothing of the new epoch can have been seen. `lagged` is for readers that skip.
- Conflation leaves out an event only where a newer one of the same topic and key follows.
- A snapshot comes first where there is nothing to go on from, and after each gap; what follows it is complete.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass, field

from plan import KEYS, ROOMS, marks


class PromiseError(AssertionError):
    """A promise is broken."""


@dataclass(frozen=True)
class Reads:
    """What a client subscribes to, and how."""

    topics: frozenset[str]
    rooms: bool = False
    slow: str = "disconnect"
    snapshot: bool = False

    def has(self, topic: str) -> bool:
        return topic in self.topics or (self.rooms and topic.startswith(ROOMS))


@dataclass(frozen=True)
class Hole:
    """Events of a topic that did not come, and of which a gap event may have told: those after `after`, up to `through`."""

    epoch: str
    topic: str
    after: int
    through: int
    # When it showed.
    seen: float


@dataclass(frozen=True)
class Told:
    """A gap event: where the client stood, and where it goes on."""

    epoch: str
    reads: Reads
    reason: str
    position: int
    to: int
    at: float


@dataclass
class Expectation:
    """One client's view of the streams it reads."""

    reads: Reads
    epoch: str = ""
    # Everything up to here has been read, or told of as lost.
    position: int = 0
    # Nothing up to here is owed.
    start: int = 0
    # The same as `position`, but for gap events.
    _stood: int = 0
    events: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    # By what is missing: the end may be asked for several times.
    holes: dict[tuple[str, str, int, int], Hole] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    # By topic: the last event's sequence number, and its number in the topic.
    _have: dict[str, tuple[int, int]] = field(default_factory=dict)
    # A gap has been told since the start.
    _has_gap: bool = False
    # The id that the client came with. None: without.
    _sent: str | None = None
    # What came last: for whoever has to find out.
    _trace: deque[str] = field(default_factory=lambda: deque(maxlen=12))
    # Nothing but these may come first.
    _first: frozenset[str] = frozenset()
    _needs_snapshot: bool = False
    # The snapshot that is due may be of another epoch.
    _elsewhere: bool = False
    # By key: an event that was left out, while the one that stands in for it has not come.
    _left_out: dict[int, int] = field(default_factory=dict)

    def connect(self, sent: str | None) -> None:
        """A new connection, with this Last-Event-ID."""
        if sent is None:
            self.forget()
        elif sent != self.last:
            raise PromiseError(f"the rig sends {sent}, and should {self.last}")
        self._sent = sent
        self._trace.append(f"connect {sent}")

    def forget(self) -> None:
        """It is another client from here on, as far as anybody can tell."""
        self.epoch = ""
        self.position = self.start = self._stood = 0
        self._begin()
        self._needs_snapshot = self.reads.snapshot
        self._elsewhere = False

    def _begin(self) -> None:
        """What was before excuses nothing from here on."""
        self._have.clear()
        self._left_out.clear()
        self._has_gap = False

    @property
    def last(self) -> str:
        """The last id seen, as the client has to send it back."""
        return f"{self.epoch}-{self.position}" if self.epoch else ""

    def open(self, id: str | None) -> None:
        """The block that a stream begins with: its position, or none where an event says it."""
        self._trace.append(f"open {id}")
        if id is None:
            # What was published since it asked may be lost already, so also one that is new may begin with a gap.
            snapshot = self._sent is None and self.reads.snapshot
            self._first = frozenset({"gap", "snapshot"} if snapshot else {"gap"})
            return
        self._first = frozenset()
        if self._sent is not None:
            if id != self._sent:
                raise PromiseError(f"came with {self._sent}, and resumes at {id}")
            return
        if self.reads.snapshot:
            raise PromiseError("a position before the snapshot")
        self.epoch, at = split(id)
        self.position = self.start = self._stood = at

    def event(self, kind: str, id: str, data: str, now: float) -> None:
        """One event, with the id that the client has then."""
        try:
            self._event(kind, id, data, now)
        except PromiseError as violation:
            raise PromiseError(f"{violation} [{', '.join(self._trace)}]") from None

    def _event(self, kind: str, id: str, data: str, now: float) -> None:
        what = data[:60] if kind == "ssehub:gap" else data[:60].partition(";")[0]
        self._trace.append(f"{kind} {id.partition('-')[2]} {what}")
        if kind == "bye":
            # A farewell: no event of a topic's, and without an id.
            return
        what = {"ssehub:gap": "gap", "snapshot": "snapshot"}.get(kind, "event")
        if self._first and what not in self._first:
            raise PromiseError(f"{what} {id} comes first, and not {set(self._first)}")
        self._first = frozenset()
        if what == "gap":
            self._gap(id, json.loads(data), now)
        elif what == "snapshot":
            self._snapshot(id, int(data.partition(";")[0]))
        else:
            self._plain(id, data, now)

    def _gap(self, id: str, data: dict[str, str], now: float) -> None:
        epoch, to = split(id)
        reason, given = data["reason"], data["last_event_id"]
        self.gaps[reason] += 1
        self._left_out.clear()
        if self.reads.snapshot:
            self._needs_snapshot = True
            self._elsewhere = reason == "unknown"
        if self.reads.snapshot and id == self.last:
            # The snapshot bears the position, so that who is cut before it is told again.
            to = self.position
        elif reason == "unknown":
            if not self._sent or epoch == self.epoch:
                raise PromiseError(f"an unknown gap to {id} for a client at {self.last}")
            self.epoch = epoch
            self.position = self.start = self._stood = to
            self._begin()
        elif self._sent is None and not self.epoch:
            self.epoch, at = split(given)
            self.position = self.start = self._stood = at
        elif epoch != self.epoch:
            raise PromiseError(f"a gap of {epoch} in the middle of {self.epoch}")
        elif to < self.position:
            raise PromiseError(f"a gap to {to} at position {self.position}")
        if reason == "unknown" and given != self._sent:
            raise PromiseError(f"came with {self._sent}, and is told of {given}")
        if reason != "unknown" and split(given)[1] < self._stood:
            raise PromiseError(f"a gap from {given} for a client that was at {self._stood}")
        if reason == "lagged" and self.reads.slow != "skip":
            raise PromiseError("lagged, and does not skip")
        self.told.append(Told(self.epoch, self.reads, reason, self.position, to, now))
        self.position = to
        self._has_gap = True

    def _snapshot(self, id: str, head: int) -> None:
        if not self._needs_snapshot:
            raise PromiseError(f"a snapshot at {id}, and none was due")
        epoch, at = split(id)
        if self.epoch and not self._elsewhere and (epoch != self.epoch or at < self.position):
            raise PromiseError(f"a snapshot at {id} for a client at {self.last}")
        if head < at:
            raise PromiseError(f"a snapshot of {head} at position {at}: what lies between is lost")
        self.epoch = epoch
        self.position = self.start = self._stood = at
        self._begin()
        self._needs_snapshot = self._elsewhere = False

    def _plain(self, id: str, data: str, now: float) -> None:
        if self._needs_snapshot:
            raise PromiseError(f"event {id} without the snapshot that was due")
        epoch, seq = split(id)
        if epoch != self.epoch:
            raise PromiseError(f"an event of {epoch} in the middle of {self.epoch}")
        if seq <= self.position:
            raise PromiseError(f"doubled: {id} comes at position {self.position}")
        self.events += 1
        mine = [mark for mark in marks(data) if self.reads.has(mark.topic)]
        if not mine:
            raise PromiseError(f"{id} is of no topic that was subscribed to: {data[:80]}")
        for mark in mine:
            known, last = self._have.get(mark.topic, _NOTHING)
            after = max(self.start, known)
            conflates = self.reads.slow == "conflate" and mark.topic == "keyed"
            if mark.previous > after:
                if conflates:
                    # Without a last one it is not known where the hole begins: one of them is certain.
                    left_out = range(last + 1 if last else mark.n - 1, mark.n)
                    self._left_out.update({n % KEYS: n for n in left_out[-KEYS:]})
                elif not self._has_gap:
                    raise PromiseError(
                        f"lost without a gap: {mark.topic} {last} is followed by {mark.n} ({id}); "
                        f"{mark.previous} came before it, and the client was at {after}"
                    )
                else:
                    self._note(mark.topic, after, mark.previous, now)
            if conflates:
                self._left_out.pop(mark.n % KEYS, None)
            self._have[mark.topic] = (seq, mark.n)
        self.position = self._stood = seq

    def _note(self, topic: str, after: int, through: int, now: float) -> None:
        hole = Hole(self.epoch, topic, after, through, now)
        self.holes.setdefault((self.epoch, topic, after, through), hole)

    def missing(self, epoch: str, last: dict[str, int], now: float, at_last: bool) -> str | None:
        """What a client does not have in the end. `last` has the last event of each topic.

        It is asked until nothing is missing. At last it has had all the time that it may need.
        """
        if epoch != self.epoch:
            return f"still in {self.epoch or 'no epoch'}, and the server in {epoch}"
        if self._needs_snapshot:
            return "the snapshot that was due has not come"
        if self._left_out:
            return f"lost without a gap: nothing stands in for keyed {self._left_out}, which were left out"
        for topic, seq in last.items():
            known, n = self._have.get(topic, _NOTHING)
            after = max(self.start, known)
            if self.reads.has(topic) and seq > after:
                # What lies behind the position can still come.
                if not self._has_gap or (seq > self.position and not at_last):
                    return f"lost without a gap: the end of {topic}, {n} at {after}, and {seq} is there"
                self._note(topic, after, seq, now)
        return None


# Of a topic that has brought no event since the start.
_NOTHING = (0, 0)


def split(id: str) -> tuple[str, int]:
    """Epoch and sequence number."""
    epoch, found, seq = id.partition("-")
    if not found or len(epoch) != 16:
        raise PromiseError(f"not an id of a hub: {id!r}")
    return epoch, int(seq)
