"""How much is measured, and where the findings of a run go."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from .corpus import MIB
from .report import Report


@dataclass(frozen=True)
class Settings:
    """One of the two sizes of a run."""

    mode: str
    repeat: int
    """Interleaved rounds; the table shows their median."""

    min_seconds: float
    """The least time of one sample of a parser or encoder."""

    corpus_bytes: int
    clients: int
    paced_events: int
    burst_events: int
    idle_seconds: float


FULL = Settings("full", 5, 0.25, 16 * MIB, 1_000, 100, 100, 1.0)
QUICK = Settings("quick", 2, 0.05, 4 * MIB, 200, 20, 50, 0.3)


@dataclass(frozen=True)
class Run:
    """What every section needs."""

    settings: Settings
    report: Report

    def progress(self, text: str) -> None:
        """Tell the person who waits."""
        print(f"  {text}", file=sys.stderr, flush=True)
