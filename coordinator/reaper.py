"""When expired leases may be believed: an outage must not kill the whole pool (design section 7)."""

from __future__ import annotations

#: Server and local clock may drift apart so far (seconds) before it counts as a jump.
JUMP = 5.0


class Guard:
    """Believes expired leases only after one full, undisturbed lease.

    A coordinator that has just connected, met another Redis (``run_id``) or seen the server's clock
    jump waits: the keepers, which had the same outage, renew first. Reported deaths count at once.
    """

    def __init__(self, lease: float) -> None:
        self.lease = lease
        self._since: float | None = None
        self._run_id = ""
        self._offset: float | None = None
        self.reason = "just connected"

    def disturb(self, reason: str) -> None:
        """Something happened that leases did not survive."""
        self._since, self.reason = None, reason

    def look(self, run_id: str, server_time: float, mono: float) -> bool:
        """Whether expired leases may be believed now."""
        offset = server_time - mono
        if self._run_id and run_id != self._run_id:
            self.disturb("another Redis answers")
        elif self._offset is not None and abs(offset - self._offset) > JUMP:
            self.disturb("the server's clock jumped")
        self._run_id, self._offset = run_id, offset
        if self._since is None:
            self._since = mono
        return mono - self._since >= self.lease
