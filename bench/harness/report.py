"""Rows of ratios, and the one table that they make."""

from __future__ import annotations

import enum
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

Samples = Sequence[float]


class Ratio(enum.Enum):
    """How a row compares ours with the peer's; both measure a cost, less is better."""

    SPEEDUP = "times faster"
    """peer / ours: 5 means that we need a fifth."""

    SHARE = "of the peer's"
    """ours / peer: 0.5 means that we need half."""


@dataclass(frozen=True)
class Unit:
    """How a figure is written: `scale` turns the stored number into `name`."""

    name: str
    scale: float = 1.0

    def write(self, value: float) -> str:
        """The figure with three significant digits."""
        scaled = value * self.scale
        digits = 0 if abs(scaled) >= 100 else 1 if abs(scaled) >= 10 else 2
        return f"{scaled:,.{digits}f} {self.name}".rstrip()


NANOSECONDS = Unit("ns", 1e9)
MICROSECONDS = Unit("us", 1e6)
MILLISECONDS = Unit("ms")
SECONDS = Unit("s")
KIBIBYTES = Unit("KiB", 1 / 1024)


@dataclass(frozen=True)
class Row:
    """One comparison. Empty samples: it could not be measured; the report's failures say why."""

    section: str
    what: str
    peer_name: str
    unit: Unit
    ours: Samples
    peer: Samples
    kind: Ratio = Ratio.SPEEDUP
    target: float | None = None

    @property
    def ratio(self) -> float | None:
        """The ratio of the medians."""
        if not self.ours or not self.peer:
            return None
        ours, peer = median(self.ours), median(self.peer)
        over, under = (peer, ours) if self.kind is Ratio.SPEEDUP else (ours, peer)
        return over / under if under > 0 else None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none or nothing was measured."""
        if self.target is None or self.ratio is None:
            return None
        if self.kind is Ratio.SPEEDUP:
            return self.ratio >= self.target
        return self.ratio <= self.target

    def cells(self) -> list[str]:
        """The row as the table shows it."""
        sign = "≥" if self.kind is Ratio.SPEEDUP else "≤"
        ratio = "not measured" if self.ratio is None else f"{self.ratio:.2f} {self.kind.value}"
        return [
            self.section,
            self.what,
            self._figure(self.ours),
            f"{self.peer_name}: {self._figure(self.peer)}",
            ratio,
            "" if self.target is None else f"{sign} {self.target:g}",
            {True: "yes", False: "**no**", None: ""}[self.met],
        ]

    def _figure(self, samples: Samples) -> str:
        return self.unit.write(median(samples)) if samples else "-"

    def to_json(self) -> dict[str, object]:
        """The row with its spread."""
        return {
            "section": self.section,
            "what": self.what,
            "peer_name": self.peer_name,
            "unit": self.unit.name,
            "ours": _spread(self.ours, self.unit),
            "peer": _spread(self.peer, self.unit),
            "ratio": self.ratio,
            "ratio_means": self.kind.value,
            "target": self.target,
            "met": self.met,
        }


def _spread(samples: Samples, unit: Unit) -> dict[str, object] | None:
    if not samples:
        return None
    scaled = [sample * unit.scale for sample in samples]
    return {"median": median(scaled), "min": min(scaled), "max": max(scaled), "samples": scaled}


@dataclass
class Report:
    """Everything that one run found."""

    mode: str
    rows: list[Row] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    details: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """All samples of each server, those too that no row shows; times per delivery in seconds."""

    load_before: float = field(default_factory=lambda: os.getloadavg()[0])

    @property
    def complete(self) -> bool:
        """Whether ssehub was measured in every row, and its peer in every row with a target."""
        return all(row.ours and (row.peer or row.target is None) for row in self.rows)

    def markdown(self) -> str:
        """The table, with what a reader needs to judge it."""
        head = ["section", "what", "ssehub", "peer", "ratio", "target", "met"]
        lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head))]
        lines += [f"| {' | '.join(row.cells())} |" for row in self.rows]
        judged = [row.met for row in self.rows if row.target is not None]
        versions = ", ".join(f"{name} {version}" for name, version in sorted(self.versions.items()))
        failures = [f"- {failure}" for failure in dict.fromkeys(self.failures)]
        parts = [
            "\n".join(lines),
            f"{judged.count(True)} of {len(judged)} targets met. "
            f"Medians of interleaved runs ({self.mode}).",
            f"Versions: {versions}.",
            f"Machine: {machine()}; load average {self.load_before:.1f} before, "
            f"{os.getloadavg()[0]:.1f} after. Compare within one run only.",
        ]
        if failures:
            parts.append("Not measured:\n" + "\n".join(failures))
        return "\n\n".join(parts) + "\n"

    def write(self, directory: Path) -> None:
        """Write `latest.md` and `latest.json`."""
        directory.mkdir(exist_ok=True)
        (directory / "latest.md").write_text(self.markdown())
        document = {
            "mode": self.mode,
            "machine": machine(),
            "load_before": self.load_before,
            "versions": self.versions,
            "failures": self.failures,
            "details": self.details,
            "rows": [row.to_json() for row in self.rows],
        }
        (directory / "latest.json").write_text(json.dumps(document, indent=1) + "\n")


def machine() -> str:
    """One line about where this ran."""
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = (line for line in info.read_text().splitlines() if line.startswith("model name"))
        model = next(names, f":{model}").partition(":")[2].strip()
    return (
        f"{os.cpu_count()} cores, {model}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, Node {_version('node')}, {_version('rustc')}"
    )


def _version(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        return f"no {program}"
    output = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return " ".join(output.stdout.split()[:2])
