"""The monitor: does one run, does anybody answer where hooks report to, who can read its tokens."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator

from coordinator.doctor.finding import Finding, note, ok, warning
from coordinator.doctor.patient import Patient
from pool import monitors

#: A monitor that is there answers at once (seconds).
_PATIENCE = 2.0
#: The operator's token that was made in HOME; settings that name files, and whether a group may read those.
_MADE = "monitor.token"
_FILES = {
    "monitor_operator_token_file": False,
    "monitor_viewer_token_file": False,
    "monitor_hook_token_file": True,
}


def runs(patient: Patient) -> Iterator[Finding]:
    """Whether a monitor watches this pool."""
    found = monitors.running(patient.redis)
    if found:
        yield ok(f"a monitor runs: {', '.join(each.url for each in found)}")
    elif patient.settings.monitor_enabled:
        yield note(
            "no monitor runs: sessions' states are known as far as the pool itself knows them",
            "coord monitor",
        )
    else:
        yield note("no monitor runs, and `coord up` starts none (setting monitor_enabled)")


def answers(patient: Patient) -> Iterator[Finding]:
    """Whether hooks that report reach a monitor. (No token is sent: the URL is what some file says.)"""
    where = {url: scope for scope in patient.scopes for url in scope.monitor.split(", ") if url}
    for url, scope in where.items():
        problem = _problem(url)
        if problem == _TOKEN and (
            patient.settings.monitor_hook_token or patient.settings.monitor_hook_token_file
        ):
            problem = ""
        if problem:
            mend = f"coord monitor (or: {scope.install_monitor.replace(' install ', ' uninstall ')})"
            if problem == _TOKEN:
                mend = f"set monitor_hook_token_file to its file, then {scope.install_monitor}"
            yield warning(f"{scope.path}: sessions report to {url}, where {problem}", mend)
        else:
            yield ok(f"{scope.path}: the monitor answers at {url}")
    if not where:
        yield note("no hooks report to a monitor from here", "coord hooks install --monitor")


_TOKEN = "the monitor wants a token, and none is set"


def _problem(url: str) -> str:
    """Why reports to that URL come to nothing; '' if they arrive."""
    if not url.startswith(("http://", "https://")):
        return "no report can go (it is no http URL)"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/hook/status", timeout=_PATIENCE) as answer:
            said = answer.read(1 << 16)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(1 << 16)
        if error.code == 401:
            return _TOKEN
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return f"nobody answers ({getattr(reason, 'strerror', None) or reason})"
    try:
        found = json.loads(said)
    except ValueError:
        found = None
    return (
        "" if isinstance(found, dict) and "hooks" in found else "something else answers, which is no monitor"
    )


def tokens(patient: Patient) -> Iterator[Finding]:
    """Whether the files of tokens are there, and nobody else can read them."""
    files = {str(getattr(patient.settings, name)): group for name, group in _FILES.items()}
    made = str(patient.home / _MADE)
    if os.path.exists(made):
        files[made] = False
    files.pop("", None)
    for path, group in files.items():
        try:
            status = os.stat(path)
        except OSError as error:
            yield warning(
                f"{path} is to hold a token of the monitor's: {error.strerror}",
                "write it, or unset the setting",
            )
            continue
        if status.st_mode & (0o007 if group else 0o077):
            yield warning(
                f"{path} holds a token of the monitor's and can be read by others", f"chmod 600 {path}"
            )
        elif not status.st_size:
            yield warning(
                f"{path} is to hold a token of the monitor's and is empty", "write it, or unset the setting"
            )
        else:
            yield ok(f"{path} can be read by its owner{' and group' * (status.st_mode & 0o070 > 0)} only")
    if not files:
        yield ok("no tokens of the monitor's are kept here")
