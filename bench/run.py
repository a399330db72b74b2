"""ssehub against its peers, side by side in one run: `python bench/run.py [--quick]`.

Installs the peers beside this file and into the running Python environment, measures parsers,
encoders and fan-out, prints tables of ratios and writes them to `bench/results`. The exit status
says whether ssehub could be measured everywhere, never how fast it was.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from harness import client, encoder, fanout, parser, scale, stalled
from harness.contestants import CONTESTANTS
from harness.report import Report
from harness.server import descriptors
from harness.settings import FULL, QUICK, Run
from harness.setup import SetupError, prepare
from harness.worker import BENCH, WorkerError

SECTIONS = {
    "parser": parser.measure,
    "encoder": encoder.measure,
    "client": client.measure,
    "fanout": fanout.measure,
    "stalled": stalled.measure,
    "scale": scale.measure,
}
BY_ITSELF = "scale"
"""The section that is measured only when it is asked for: it wants the whole machine."""


def main() -> int:
    options = arguments().parse_args()
    settings = QUICK if options.quick else FULL
    if options.rounds:
        settings = replace(settings, rounds=options.rounds)
    if options.clients:
        settings = replace(
            settings,
            clients=(max(options.clients // 5, 1), options.clients),
            scale_clients=options.clients,
        )
    run = Run(settings, Report(settings.mode), options.server)
    descriptors()
    if not options.no_setup:
        run.progress("setting up; the first time this takes some minutes")
        try:
            prepare(run)
        except SetupError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
    complete = True
    for name, measure in SECTIONS.items():
        if name == options.only or (options.only is None and name != BY_ITSELF):
            run.progress(f"== {name} ==")
            try:
                measure(run)
            except WorkerError as error:
                run.report.failures.append(f"{name}: {error}")
                complete = False
    name = options.only or "latest"
    run.report.write(BENCH / "results", name)
    print(run.report.markdown())
    run.progress(f"written to bench/results/{name}.md and {name}.json")
    return 0 if complete and run.report.complete else 1


def arguments() -> argparse.ArgumentParser:
    """What can be said on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller and fewer samples")
    parser.add_argument("--only", choices=SECTIONS, help="one section instead of all but scale")
    parser.add_argument("--no-setup", action="store_true", help="peers are installed already")
    servers = parser.add_argument_group("fanout, stalled and scale")
    servers.add_argument(
        "--server",
        action="append",
        default=[],
        choices=[contestant.name for contestant in CONTESTANTS],
        help="this one only; may be given several times",
    )
    servers.add_argument("--clients", type=int, help="the greater number of clients")
    servers.add_argument("--rounds", type=int, help="interleaved samples of each server")
    return parser


if __name__ == "__main__":
    sys.exit(main())
