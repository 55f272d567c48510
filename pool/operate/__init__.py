"""What an operator does to the pool: the functions behind the command line, the MCP server and the monitor.

Each either does what it says or raises one of pool.errors, whose text is one line for the operator. Those
that take several tasks or workers look at all of them first and change nothing where one will not do.
"""

from pool.operate.context import Context
from pool.operate.messages import Sent, tell
from pool.operate.queues import Paused, pause, resume
from pool.operate.submission import Submitted, submit
from pool.operate.tasks import Moved, cancel, left_behind, requeue, retry
from pool.operate.workers import Tuned, drain, idle

__all__ = [
    "Context",
    "Moved",
    "Paused",
    "Sent",
    "Submitted",
    "Tuned",
    "cancel",
    "drain",
    "idle",
    "left_behind",
    "pause",
    "requeue",
    "resume",
    "retry",
    "submit",
    "tell",
]
