"""What a server has published, as it wrote it down: one file for each life of its hub. With it, gaps are judged."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from oracle import Expectation, Hole, Told
from plan import kept

# What one who comes with an unknown id may replay, in bytes. Sizes here are without the framing.
UNKNOWN_REPLAY = 256 * 1024
# Ages are measured by the server, a moment after it wrote down the time.
SLACK = 0.25


@dataclass
class Topic:
    """The events of one topic, in order."""

    name: str
    seqs: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def lost_by(self, now: float) -> int:
        """How many of the first events may have left the history by then."""
        published = bisect_right(self.times, now)
        history = kept(self.name)
        lost = max(published - history.count, 0)
        if history.age is not None:
            lost = max(lost, bisect_right(self.times, now - history.age + SLACK))
        return lost


class Journal:
    """One life."""

    def __init__(self, path: Path) -> None:
        self.topics: dict[str, Topic] = {}
        self._reach: dict[Told, int] = {}
        for line in path.read_text().splitlines():
            fields = line.split(" ")
            # The last line may have been cut by a kill.
            if len(fields) == 4:
                name, seq, time, size = fields
                topic = self.topics.setdefault(name, Topic(name))
                topic.seqs.append(int(seq))
                topic.times.append(float(time))
                topic.sizes.append(int(size))

    def last(self) -> dict[str, int]:
        """The last event of each topic."""
        return {name: topic.seqs[-1] for name, topic in self.topics.items()}

    def judge_hole(self, hole: Hole, gaps: list[Told]) -> str | None:
        """What is wrong with it. What is missing must be out of the history by then, and told of by one of the gaps.

        A gap that is told at a position stands for what lies behind it, up to the newest event that any of the
        client's topics had lost by then.
        """
        topic = self.topics.get(hole.topic, Topic(hole.topic))
        begin, end = bisect_right(topic.seqs, hole.after), bisect_right(topic.seqs, hole.through)
        kept_from = topic.lost_by(hole.seen)
        if end > kept_from:
            missing = topic.seqs[max(begin, kept_from) : end]
            return f"lost without a gap: {hole.topic} {missing}, which the history still had"
        covered = [(gap.position, self._lost_by(gap)) for gap in gaps if gap.at <= hole.seen]
        for seq in topic.seqs[begin:end]:
            if not any(position < seq <= through for position, through in covered):
                return f"lost without a gap: {hole.topic} {seq}, which no gap event stands for"
        return None

    def _lost_by(self, gap: Told) -> int:
        """The newest event that a gap event can stand for."""
        if gap not in self._reach:
            lost = [0]
            for name, topic in self.topics.items():
                if gap.reads.has(name) and (count := topic.lost_by(gap.at)):
                    lost.append(topic.seqs[count - 1])
            self._reach[gap] = max(lost)
        return self._reach[gap]

    def judge_gap(self, told: Told) -> str | None:
        """What is wrong with a gap event."""
        mine = [topic for name, topic in self.topics.items() if told.reads.has(name)]
        if told.reason == "unknown":
            return None if told.reads.snapshot else self._judge_cap(told, mine)
        for topic in mine:
            lost = topic.lost_by(told.at)
            if lost and topic.seqs[lost - 1] > told.position:
                return None
        return f"a gap ({told.reason}) at {told.position}, after which nothing was lost"

    def _judge_cap(self, told: Told, mine: list[Topic]) -> str | None:
        """One who comes with an unknown id gets the newest events, as many as the cap allows."""
        after = 0
        newest_left_out = (0, 0)
        for topic in mine:
            at = bisect_left(topic.seqs, told.to + 1)
            now = bisect_right(topic.times, told.at)
            after += sum(topic.sizes[at:now])
            if at > topic.lost_by(told.at):
                newest_left_out = max(newest_left_out, (topic.seqs[at - 1], topic.sizes[at - 1]))
        seq, size = newest_left_out
        # An event of several topics counts once there and more often here; framing counts there only.
        if seq and after + size < UNKNOWN_REPLAY * 0.6:
            return f"{seq} was left out behind an unknown id, with {after} bytes after it"
        return None


class Judge:
    """Judges gaps and holes of whatever lives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journals: dict[str, Journal] = {}

    def judge(self, seen: Expectation) -> list[str]:
        """What is wrong with those of one client."""
        gaps: dict[str, list[Told]] = defaultdict(list)
        for told in seen.told:
            gaps[told.epoch].append(told)
        holes = seen.holes.values()
        judged = [
            *(
                (hole, self._journal(hole.epoch).judge_hole(hole, gaps[hole.epoch]))
                for hole in holes
            ),
            *((told, self._journal(told.epoch).judge_gap(told)) for told in seen.told),
        ]
        return [f"{what}: {thing}" for thing, what in judged if what is not None]

    def _journal(self, epoch: str) -> Journal:
        if epoch not in self._journals:
            self._journals[epoch] = Journal(self._folder / f"{epoch}.journal")
        return self._journals[epoch]
