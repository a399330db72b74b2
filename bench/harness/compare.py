"""Which of ours is compared with which peer, and how the workers of a language are started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .report import NANOSECONDS, Ratio, Row
from .settings import Run
from .worker import Team

RUST = Path("rust/target/release")
"""Where the Rust workers are, seen from the benchmark's folder."""


@dataclass(frozen=True)
class Rival:
    """A peer, which of ours it is compared with, and the target of DESIGN section 9."""

    name: str
    ours: str
    target: float | None = None
    kind: Ratio = Ratio.SPEEDUP
    always: bool = False
    """The target holds in every case, not in the main one alone."""


@dataclass(frozen=True)
class Language:
    """A worker program that takes the name of what it shall measure."""

    name: str
    command: Sequence[str | Path]
    rivals: Sequence[Rival]

    def team(self, run: Run) -> Team:
        """All workers of the language; those that cannot start are reported."""
        names = dict.fromkeys(name for rival in self.rivals for name in (rival.ours, rival.name))
        run.progress(f"{self.name}: starting {', '.join(names)}")
        team = Team({name: [*self.command, name] for name in names})
        run.report.failures += [f"{self.name}: {failure}" for failure in team.failures.values()]
        run.report.versions |= {
            f"{self.name}/{name.split()[0]}": version for name, version in team.versions.items()
        }
        return team

    def compare(
        self,
        run: Run,
        section: str,
        case: str,
        seconds_per_event: Mapping[str, Sequence[float]],
        main: bool,
    ) -> None:
        """A row per rival."""
        for rival in self.rivals:
            run.report.rows.append(
                Row(
                    f"{self.name} {section}",
                    f"{rival.ours}: {case}",
                    rival.name,
                    NANOSECONDS,
                    seconds_per_event.get(rival.ours, ()),
                    seconds_per_event.get(rival.name, ()),
                    rival.kind,
                    rival.target if main or rival.always else None,
                )
            )
