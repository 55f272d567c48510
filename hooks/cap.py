"""The client's cap: it ends a turn by force that Stop hooks have blocked 8 times without a tool call between.

A task that is handed over then would lie in a session that does nothing. Standard library only.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pool.local import Session

#: Tells the client another number; 0: no cap. `coord hooks install --worker` sets it.
VARIABLE = "CLAUDE_CODE_STOP_HOOK_BLOCK_CAP"

#: What the client does unless it is told otherwise.
DEFAULT = 8


def limit() -> int:
    """Blocks in a row that this session's client allows; 0: any number."""
    try:
        return max(0, int(os.environ.get(VARIABLE, "")))
    except ValueError:
        return DEFAULT


def reached(session: Session, active: bool) -> bool:
    """Whether the client would override a block of this Stop. To be asked once for each Stop.

    ``active``: it comes after a block of some Stop hook, so that the turn is still the same.
    """
    most = limit()
    if not most:
        return False
    tools, before = session.tools(), session.data.get("blocks")
    blocks = 0
    if active and isinstance(before, int) and session.data.get("blocks_tools") == tools:
        blocks = before + 1
    session.save(blocks=blocks, blocks_tools=tools)
    return blocks >= most
