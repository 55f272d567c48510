"""The worker's side: helper scripts, keeper, and the same as functions for people's own scripts.

``from workers import claim_task, complete_task, fail_task, heartbeat, should_worker_continue``
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from workers.api import claim_task, complete_task, fail_task, heartbeat, should_worker_continue

__all__ = ["claim_task", "complete_task", "fail_task", "heartbeat", "should_worker_continue"]


def __getattr__(name: str) -> Any:
    # Late, because every helper and keeper imports this package and few need the functions.
    if name in __all__:
        from workers import api

        return getattr(api, name)
    raise AttributeError(name)
