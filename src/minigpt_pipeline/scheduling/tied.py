"""`python -I tied.py SIGNAL PARENT COMMAND...`: become a command that gets a signal when its parent ends.

So nothing goes on unwatched when who started it is killed. On systems other than Linux the command is left alone.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h."""


def tie_to(parent: int, number: int) -> None:
    """Let this process get a signal when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        sys.exit(1)  # it has ended already


def main() -> None:
    """Tie this process, and become the command."""
    number, parent, *command = sys.argv[1:]
    tie_to(int(parent), int(number))
    # Children of what runs in the background ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606 -- what it is for # nosec B606


if __name__ == "__main__":
    main()
