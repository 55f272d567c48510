"""``begin [--environ FILE] [--terminal] COMMAND…``: become the session's program, which knows its process.

COORD_SESSION names it: in hook mode SessionStart tells the session's Bash, but a session without hooks has
to be born with it, and one that is started inside of a session must not take itself for that. FILE holds the
whole environment as JSON and is removed: what a terminal is started with, everybody on the machine may read.
With --terminal the terminal on its standard input becomes its own.
Standard library only; run by path under ``python -I -S``.
"""

from __future__ import annotations

import fcntl
import os
import sys
import termios

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from pool import jsonlite, local, process


def main(argv: list[str]) -> int:
    """Replace this process; 127 when there is no such program."""
    environ = dict(os.environ)
    if argv[0] == "--environ":
        with open(argv[1], encoding="utf-8") as file:
            given = jsonlite.loads(file.read())
        os.unlink(argv[1])
        argv = argv[2:]
        # What says which terminal this is belongs to it, not to the supervisor.
        environ = {**given, **{name: environ[name] for name in TERMINAL if name in environ}}
    if argv[0] == "--terminal":
        argv = argv[1:]
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    environ[local.SESSION_VARIABLE] = process.key(os.getpid())
    try:
        os.execvpe(argv[0], argv, environ)
    except OSError as error:
        print(f"coord: {argv[0]}: {error.strerror}", file=sys.stderr)
        return 127


#: Set by a terminal for what runs in it.
TERMINAL = ("TERM", "COLORTERM", "TMUX", "TMUX_PANE", "TERM_PROGRAM", "TERM_PROGRAM_VERSION")

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
