"""How much is measured, and where the findings of a run go."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from .corpus import MIB
from .report import Report


@dataclass(frozen=True)
class Settings:
    """One of the two sizes of a run."""

    mode: str
    repeat: int
    """Interleaved rounds of parsers and encoders; the table shows their median."""

    min_seconds: float
    """The least time of one sample of a parser or encoder."""

    corpus_bytes: int

    rounds: int
    """Interleaved rounds of servers."""

    clients: tuple[int, int]
    """Few and many."""

    phase_seconds: float
    """The most time of one phase of a server."""

    paced_events: int
    bursts: int
    calls: int
    """Publish calls that are timed."""

    scale_clients: int
    """As many, or as many as this machine allows."""


FULL = Settings("full", 5, 0.25, 16 * MIB, 3, (1_000, 5_000), 2.0, 100, 5, 1_000, 50_000)
QUICK = Settings("quick", 2, 0.05, 4 * MIB, 1, (100, 400), 0.5, 20, 2, 200, 2_000)


@dataclass(frozen=True)
class Run:
    """What every section needs."""

    settings: Settings
    report: Report
    servers: Sequence[str] = ()
    """The only ones to measure; all if none is named."""

    def wants(self, server: str) -> bool:
        """Whether it shall be measured."""
        return not self.servers or server in self.servers

    def progress(self, text: str) -> None:
        """Tell the person who waits."""
        print(f"  {text}", file=sys.stderr, flush=True)
