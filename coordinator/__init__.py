"""The operator's side: the `coord` command, the service, triggers.

``from coordinator import submit_task, get_active_workers``
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coordinator.api import get_active_workers, submit_task

__all__ = ["get_active_workers", "submit_task"]


def __getattr__(name: str) -> Any:
    # Late, so that `coord --help` does not pay for Redis and RQ.
    if name in __all__:
        from coordinator import api

        return getattr(api, name)
    raise AttributeError(name)
