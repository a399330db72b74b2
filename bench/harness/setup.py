"""Installs the peers and builds the Rust programs. ssehub itself is built by `make`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from .settings import Run
from .worker import BENCH


class SetupError(Exception):
    """A step failed; its output is above."""


STEPS: tuple[tuple[str, Sequence[str]], ...] = (
    (
        "Python peers into this environment",
        (sys.executable, "-m", "pip", "install", "--quiet", "-r", "requirements.txt"),
    ),
    (
        "Node peers into bench/node/node_modules",
        ("npm", "ci", "--prefix", "node", "--no-audit", "--no-fund", "--loglevel", "error"),
    ),
    (
        "Rust peers and the load client into bench/rust/target",
        ("cargo", "build", "--release", "--quiet", "--manifest-path", "rust/Cargo.toml"),
    ),
)


def prepare(run: Run) -> None:
    """Run all steps; what is there already is not fetched again."""
    for title, command in STEPS:
        run.progress(f"{title}: {' '.join(command)}")
        try:
            outcome = subprocess.run(command, cwd=BENCH, check=False)
        except FileNotFoundError as error:
            raise SetupError(f"{command[0]} is not installed") from error
        if outcome.returncode != 0:
            raise SetupError(f"failed: {' '.join(command)}")
