"""Accounts: is one stopped, or out of its quota?"""

from __future__ import annotations

from collections.abc import Iterator

from coordinator.doctor.finding import Finding, ok, warning, wrong
from coordinator.doctor.patient import Patient
from pool import accounts


def barred(patient: Patient) -> Iterator[Finding]:
    """Accounts with which nothing is done now, each with its reason."""
    found = accounts.barred(patient.redis)
    for each in found:
        remedy = f"coord accounts resume {each.name if each.name != accounts.ALL else repr(each.name)}"
        seen = accounts.line(each).partition("; then `")[0]
        yield (wrong if each.state == "stopped" else warning)(seen, remedy)
    if not found:
        yield ok("no account is stopped or out of its quota")
