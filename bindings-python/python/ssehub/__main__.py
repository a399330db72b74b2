"""The command line: `ssehub tail URL`, `ssehub doctor URL`; the same as `python -m ssehub`."""

from __future__ import annotations

import signal
import sys

from ._ssehub import run_cli


def main() -> int:
    """Runs the command that the arguments of this process say. The exit status."""
    # Native code does not return to Python to have a signal handled: Ctrl-C ends the process by itself.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return run_cli(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
