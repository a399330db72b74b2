"""ssehub against its peers, side by side in one run: `python bench/run.py [--quick]`.

Installs the peers beside this file and into the running Python environment, measures parsers,
encoders and in-loop fan-out, prints one table of ratios and writes it to `bench/results`. The
exit status says whether ssehub could be measured everywhere, never how fast it was.
"""

from __future__ import annotations

import argparse
import sys

from harness import encoder, fanout, parser
from harness.report import Report
from harness.settings import FULL, QUICK, Run
from harness.setup import SetupError, prepare
from harness.worker import BENCH, WorkerError

SECTIONS = {"parser": parser.measure, "encoder": encoder.measure, "fanout": fanout.measure}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--quick", action="store_true", help="smaller and fewer samples")
    arguments.add_argument("--only", choices=SECTIONS, help="one section instead of all")
    arguments.add_argument("--no-setup", action="store_true", help="peers are installed already")
    options = arguments.parse_args()

    settings = QUICK if options.quick else FULL
    run = Run(settings, Report(settings.mode))
    if not options.no_setup:
        run.progress("setting up; the first time this takes some minutes")
        try:
            prepare(run)
        except SetupError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
    complete = True
    for name, measure in SECTIONS.items():
        if options.only in (None, name):
            run.progress(f"== {name} ==")
            try:
                measure(run)
            except WorkerError as error:
                run.report.failures.append(f"{name}: {error}")
                complete = False
    results = BENCH / "results"
    run.report.write(results)
    print(run.report.markdown())
    run.progress("written to bench/results/latest.md and latest.json")
    return 0 if complete and run.report.complete else 1


if __name__ == "__main__":
    sys.exit(main())
