"""For all suites of Python."""

import signal

# A shell has what it starts in the background ignore Ctrl-C, and the servers under test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
