"""Programs that the tests run, and the Debian packages that hold them.

    python -m tools.programs              exit code 1 and one line, when some are missing
    python -m tools.programs --packages   the packages of those that are missing, a line each

A test that cannot run proves nothing: so they are looked for before the tests begin, instead of by each
test that would be skipped. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import shutil
import sys

#: Program -> (Debian's package, what it is needed for).
NEEDED = {
    "chromedriver": ("chromium-driver", "the monitor's page in a browser"),
    "chromium": ("chromium", "the monitor's page in a browser"),
    "curl": ("curl", "the reports of hooks to the monitor"),
    "ip": ("iproute2", "networks of their own"),
    "jq": ("jq", "hooks written in shell"),
    "promtool": ("prometheus", "the monitor's metrics and alert rules"),
    "shellcheck": ("shellcheck", "scripts in shell"),
    "tmux": ("tmux", "sessions and `coord top` in a terminal"),
    "unshare": ("util-linux", "networks of their own"),
}

#: Without these a test or two is skipped; the gate installs them all the same.
OPTIONAL = {"fish": "fish", "redis-server": "redis-server", "zsh": "zsh"}


def missing() -> list[str]:
    """The needed programs that are not on PATH."""
    return [name for name in NEEDED if shutil.which(name) is None]


def packages() -> list[str]:
    """Debian's packages of all programs that are not on PATH, the optional ones among them."""
    return sorted(
        {
            *(NEEDED[name][0] for name in missing()),
            *(package for name, package in OPTIONAL.items() if shutil.which(name) is None),
        }
    )


def complaint(absent: list[str]) -> str:
    """One line on what is missing, and how to get it."""
    parts = "; ".join(f"{name} ({NEEDED[name][1]})" for name in absent)
    wanted = " ".join(sorted({NEEDED[name][0] for name in absent}))
    return f"the tests need {parts}: apt-get install --no-install-recommends {wanted}"


def main(argv: list[str]) -> int:
    """Print what is missing; the exit code."""
    if argv == ["--packages"]:
        print("\n".join(packages()))
        return 0
    if argv:
        print("usage: python -m tools.programs [--packages]", file=sys.stderr)
        return 2
    absent = missing()
    if absent:
        print(f"coord: {complaint(absent)}", file=sys.stderr)
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
