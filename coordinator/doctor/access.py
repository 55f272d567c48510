"""Who else can use Redis: whoever can write to it can submit prompts to the sessions."""

from __future__ import annotations

from collections.abc import Iterator

import redis

from coordinator.doctor.finding import Finding, ok, unknown, warning
from coordinator.doctor.patient import Patient


def access(patient: Patient) -> Iterator[Finding]:
    """Without a password nobody else should get in, or at least not far."""
    at = patient.address
    near = bool(at.path) or at.host in ("localhost", "::1") or at.host.startswith("127.")
    remedy = f"set a password: {patient.cli} config set requirepass ..., and in redis.conf; or ACL users"
    stranger = _stranger(patient)
    if stranger == "out":
        yield ok("it asks for a password")
        return
    if stranger == "little":
        yield ok("without a password one can neither read the pool nor run its scripts")
        return
    if not near:
        yield warning(f"everybody who reaches {at.where} can use it: it asks for no password", remedy)
        return
    bind, protected = patient.config("bind"), patient.config("protected-mode")
    if bind is None or protected is None:
        yield unknown(
            "it asks for no password, and whether it can be reached from other machines could not be read",
            patient.elsewhere,
        )
        return
    beyond = [each for each in bind.split() or ["*"] if not _loopback(each)]
    if patient.config("port") == "0" or not beyond:
        yield ok("it asks for no password, and only this machine can reach it")
    elif protected == "yes":
        yield ok("it asks for no password, but in protected mode it serves this machine only")
    else:
        yield warning(
            f"everybody who reaches this machine can use it: it listens on {', '.join(beyond)}, asks for no "
            "password, and its protected mode is off",
            remedy,
        )


def _loopback(bound: str) -> bool:
    return bound.lstrip("-") in ("::1", "localhost") or bound.lstrip("-").startswith("127.")


def _stranger(patient: Patient) -> str:
    """How far one gets without a password: ``out``, ``little`` or ``in``."""
    with patient.client(username=None, password=None) as client:
        try:
            client.get("pool:leader")
            return "in"
        except redis.exceptions.NoPermissionError:
            pass  # one is let in, and may not look
        except redis.RedisError:
            return "out"
        try:
            client.eval("return 1", 0)
            return "in"
        except redis.RedisError:
            return "little"
