"""Rows of ratios, and the one table that they make."""

from __future__ import annotations

import enum
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

Samples = Sequence[float]


class Ratio(enum.Enum):
    """How a row compares ours with the peer's."""

    SPEEDUP = "times faster"
    """peer / ours, both a cost: 5 means that we need a fifth."""

    SHARE = "of the peer's"
    """ours / peer, both a cost: 0.5 means that we need half."""

    RATE = "times the peer's"
    """ours / peer, both an achievement: 2 means that we do twice as much."""

    FIGURE = ""
    """Ours alone, a cost, against a target in its unit."""

    @property
    def more_is_better(self) -> bool:
        """Whether a target is the least that the ratio may be, not the most."""
        return self in (Ratio.SPEEDUP, Ratio.RATE)


@dataclass(frozen=True)
class Unit:
    """How a figure is written: `scale` turns the stored number into `name`."""

    name: str
    scale: float = 1.0

    def write(self, value: float) -> str:
        """The figure with three significant digits."""
        scaled = value * self.scale
        digits = 0 if abs(scaled) >= 100 else 1 if abs(scaled) >= 10 else 2
        return f"{scaled:,.{digits}f} {self.name}"

    def of(self, samples: Samples) -> str:
        """The median of some samples."""
        return self.write(median(samples)) if samples else "-"


NANOSECONDS = Unit("ns", 1e9)
MICROSECONDS = Unit("us", 1e6)
MILLISECONDS = Unit("ms")
SECONDS = Unit("s")
KIBIBYTES = Unit("KiB", 1 / 1024)
PER_SECOND = Unit("/s")


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
        """The ratio of the medians, or our figure if it stands alone."""
        if not self.ours or not (self.peer or self.kind is Ratio.FIGURE):
            return None
        ours = median(self.ours)
        if self.kind is Ratio.FIGURE:
            return ours * self.unit.scale
        peer = median(self.peer)
        over, under = (peer, ours) if self.kind is Ratio.SPEEDUP else (ours, peer)
        return over / under if under > 0 else None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none or nothing was measured."""
        if self.target is None or self.ratio is None:
            return None
        return self.ratio >= self.target if self.kind.more_is_better else self.ratio <= self.target

    @property
    def measured(self) -> bool:
        """Whether ours was measured, and so was the peer if there is a target."""
        return bool(self.ours) and (self.target is None or self.ratio is not None)

    def cells(self) -> list[str]:
        """The row as the table shows it."""
        alone = self.kind is Ratio.FIGURE
        ratio = "not measured"
        if self.ratio is not None:
            ratio = "" if alone else f"{self.ratio:.2f} {self.kind.value}"
        target = ""
        if self.target is not None:
            sign = "≥" if self.kind.more_is_better else "≤"
            target = f"{sign} {self.target:g}" + (f" {self.unit.name}" if alone else "")
        return [
            self.section,
            self.what,
            self.unit.of(self.ours),
            "" if alone else f"{self.peer_name}: {self.unit.of(self.peer)}",
            ratio,
            target,
            {True: "yes", False: "**no**", None: ""}[self.met],
        ]

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


def figure(section: str, what: str, unit: Unit, ours: Samples, target: float | None = None) -> Row:
    """A row that compares ours with nobody."""
    return Row(section, what, "", unit, ours, (), Ratio.FIGURE, target)


def _spread(samples: Samples, unit: Unit) -> dict[str, object] | None:
    if not samples:
        return None
    scaled = [sample * unit.scale for sample in samples]
    return {"median": median(scaled), "min": min(scaled), "max": max(scaled), "samples": scaled}


@dataclass(frozen=True)
class Table:
    """The medians of several programs side by side."""

    title: str
    columns: Mapping[str, Unit]
    lines: Mapping[str, Sequence[Samples]]
    """By program, its samples in the order of the columns."""

    def markdown(self) -> str:
        """The table under its title."""
        lines = [
            [
                name,
                *(
                    unit.of(taken)
                    for unit, taken in zip(self.columns.values(), samples, strict=True)
                ),
            ]
            for name, samples in self.lines.items()
        ]
        return f"**{self.title}**\n\n{_grid(['', *self.columns], lines)}"


def _grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


@dataclass
class Report:
    """Everything that one run found."""

    mode: str
    rows: list[Row] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    details: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """All samples of each server; times in seconds unless their unit is milliseconds."""

    load_before: float = field(default_factory=lambda: os.getloadavg()[0])

    @property
    def complete(self) -> bool:
        """Whether ssehub was measured in every row, and its peer in every row with a target."""
        return all(row.measured for row in self.rows)

    def markdown(self) -> str:
        """The tables, with what a reader needs to judge them."""
        head = ["section", "what", "ssehub", "peer", "ratio", "target", "met"]
        judged = [row.met for row in self.rows if row.target is not None]
        versions = ", ".join(f"{name} {version}" for name, version in sorted(self.versions.items()))
        failures = [f"- {failure}" for failure in dict.fromkeys(self.failures)]
        parts = [
            _grid(head, [row.cells() for row in self.rows]),
            *(table.markdown() for table in self.tables),
            f"{judged.count(True)} of {len(judged)} targets met. "
            f"Medians of interleaved runs ({self.mode}).",
            f"Versions: {versions}.",
            f"Machine: {machine()}; load average {self.load_before:.1f} before, "
            f"{os.getloadavg()[0]:.1f} after. Compare within one run only.",
        ]
        if failures:
            parts.append("Not measured:\n" + "\n".join(failures))
        return "\n\n".join(parts) + "\n"

    def write(self, directory: Path, name: str) -> None:
        """Write `{name}.md` and `{name}.json`."""
        directory.mkdir(exist_ok=True)
        (directory / f"{name}.md").write_text(self.markdown())
        document = {
            "mode": self.mode,
            "machine": machine(),
            "load_before": self.load_before,
            "versions": self.versions,
            "failures": self.failures,
            "details": self.details,
            "rows": [row.to_json() for row in self.rows],
        }
        (directory / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


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
