"""`python -m janus_cli` and `janus`: the process of a command."""

import signal
import sys


def run() -> int:
    """Run `janus` with the arguments of this process; returns the exit code.

    Until `main` handles signals, and when it has ended, Ctrl-C ends the process without a word: there is
    nothing to clean up.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from janus_cli.app import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
