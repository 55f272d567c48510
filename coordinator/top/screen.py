"""The board as lines of text, for a terminal of any size. Neither Redis nor a terminal is needed for it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from coordinator.commands import common, stats
from coordinator.top.board import Board, Queue, Row
from coordinator.top.choice import LOOK, SORTS, Choice, urgency
from coordinator.top.feed import News
from pool import units
from pool.sessions import Confidence

#: What stands behind a state that is not certain.
_DOUBT = {Confidence.LIKELY: "~", Confidence.STALE: "?"}
#: A title longer than this many columns is not worth what it takes from the others.
_TITLE = 48
#: Queues shown below the sessions, at most.
_QUEUES = 5

HELP = """\
coord top: what every session does, and how that is known

  up, down, j, k      scroll by a line        s   sort: need, age, cost, task, name
  page up, page down  scroll by a page        /   filter by words (Enter keeps it, Esc drops it)
  g, G, home, end     to the top, the end     p   pause: the picture stands still
  q                   quit                    h   this page

Who needs a person comes first: needs-you (a permission, a question), then stuck, interrupted and broken.

  working     the state is certain: an event said so
  working~    likely: concluded from a process, a lease, a session's own file, or from silence
  working?    stale: nothing was heard for so long that it may be otherwise, or no monitor runs

"age" is how long it has been in that state, "seen" how old the evidence is.

any key goes back"""


def render(console: Console, news: News, choice: Choice, size: tuple[int, int]) -> tuple[list[str], Choice]:
    """The screen's lines with their colours, and the choice fitted to it."""
    columns, height = size
    if choice.help:
        lines = [Text(line, no_wrap=True) for line in HELP.split("\n")]
        return _painted(console, lines[:height], columns), choice
    board = news.board
    now = 0.0 if board is None else board.at + (0.0 if choice.paused else time.monotonic() - board.mono)
    head = _head(news, choice)[: max(1, height // 3)]
    rows = choice.rows(board.rows) if board else []
    foot = _foot(choice)
    room = max(1, height - len(head) - 2)
    queues = queue_lines(board.queues if board else (), columns, min(_QUEUES, max(0, room // 4)))
    room = max(1, room - len(queues))
    choice = choice.fitted(len(rows), room)
    shown = rows[choice.top : choice.top + room]
    body = table(shown, now, columns) if shown else [Text(), _nothing(board, choice)]
    body = body[: room + 1]
    body += [Text()] * (room + 1 - len(body))
    more = len(rows) - choice.top - len(shown)
    if more or choice.top:
        foot.append(f"  rows {choice.top + 1}-{choice.top + len(shown)} of {len(rows)}", "dim")
    return _painted(console, [*head, *body, *queues, foot][:height], columns), choice


def once(board: Board, choice: Choice, columns: int) -> list[Text]:
    """All of it, below one another, for a terminal that is not taken over."""
    rows = choice.rows(board.rows)
    head = _head(News(board), choice)
    body = table(rows, board.at, columns) if rows else [_nothing(board, choice)]
    return [*head, *body, *queue_lines(board.queues, columns, len(board.queues))]


def _painted(console: Console, lines: Iterable[Text], columns: int) -> list[str]:
    with console.capture() as captured:
        for line in lines:
            line.truncate(columns, overflow="ellipsis" if columns > 1 else "crop")
            console.print(line, no_wrap=True, crop=False, soft_wrap=True)
    return captured.get().split("\n")[:-1]


# -- above and below ---------------------------------------------------------------------------------


def _head(news: News, choice: Choice) -> list[Text]:
    """How many sessions there are, who needs a person, and what is wrong with the whole."""
    board = news.board
    first = Text("coord top", "bold")
    if board is not None:
        states = Counter(row.state for row in board.rows)
        first.append(f"  {len(board.rows):,} sessions", "bold")
        for state, count in sorted(states.items(), key=lambda pair: (urgency(pair[0]), pair[0])):
            first.append("  ").append(f"{count:,} {state}", common.STYLES.get(state, ""))
    lines = [first]
    lines += [_warning(text) for text in _troubles(news)]
    wanting = [row for row in (board.rows if board else ()) if urgency(row.state) <= LOOK]
    if wanting:
        wanting.sort(key=SORTS["need"])
        names = ", ".join(f"{row.id} ({row.needs or row.state})" for row in wanting[:6])
        rest = f" and {len(wanting) - 6} more" if len(wanting) > 6 else ""
        lines.append(common.cell(f"needs you: {names}{rest}", "bold red"))
    if choice.paused:
        lines.append(Text("paused: p goes on", "bold yellow"))
    return lines


def _troubles(news: News) -> Iterable[str]:
    board = news.board
    if news.trouble:
        yield news.trouble
    if board is None:
        return
    if not board.led:
        yield "no coordinator runs: `coord serve`"
    if not board.monitored:
        yield "no monitor runs, so other sessions than workers are as they were: `coord monitor`"
    yield from board.warnings


def _warning(text: str) -> Text:
    return common.cell(text, "yellow")


def _nothing(board: Board | None, choice: Choice) -> Text:
    if board is None:
        return Text("reading ...", "dim")
    return Text(f"nothing matches {choice.filter!r}" if choice.filter else "no sessions", "dim")


def _foot(choice: Choice) -> Text:
    if choice.typing:
        return common.cell(f"/{choice.filter}").append("_", "reverse")
    parts = ["q quit", "h help", f"s sort: {choice.sort}", "/ filter", "p pause"]
    if choice.filter:
        parts[3] = f"/ filter: {choice.filter} (Esc: none)"
    return common.cell("  ".join(parts), "dim")


def queue_lines(queues: Sequence[Queue], columns: int, limit: int) -> list[Text]:
    """A line a queue, the busiest first: depth, age, and a column of throughput a minute."""
    if not limit:
        return []
    order = sorted(queues, key=lambda each: (-each.queued - each.running, -sum(each.finished), each.name))
    width = max((cell_len(each.name) for each in order[:limit]), default=0)
    lines = []
    for each in order[:limit]:
        line = common.cell(_fit(each.name, min(width, 24)), "bold").append(f"  {each.queued:,} waiting")
        if each.oldest is not None:
            line.append(f" ({stats.short(each.oldest)})")
        line.append(f"  {each.running:,} running")
        for name in ("scheduled", "deferred"):
            if getattr(each, name):
                line.append(f"  {getattr(each, name):,} {name}")
        if each.paused:
            line.append("  paused", "bold yellow")
        line.append(f"  {each.per_minute:.3g}/min ")
        left = columns - line.cell_len - 1
        if left >= 8:
            line.append(stats.bars(stats.grouped(each.finished, left)), "green")
        lines.append(line)
    if len(order) > limit:
        lines[-1] = Text(f"... and {len(order) - limit + 1} more queues: `coord queues`", "dim")
    return lines


# -- sessions ----------------------------------------------------------------------------------------


def _state(row: Row, _now: float) -> Text:
    doubt = _DOUBT.get(Confidence(row.confidence), "")
    return Text(row.state + doubt, common.STYLES.get(row.state, ""))


def _age(at: float, now: float) -> str:
    return units.span(max(0.0, now - at)) if at else ""


def _task(row: Row, now: float) -> Text:
    """What it needs of a person, else until when it is parked, else its task, else where it works."""
    if row.needs:
        return common.cell(row.needs, "bold")
    text = f"{row.task} {row.title}".strip()
    if row.state == "parked" and row.until > now:
        text = f"for {units.span(row.until - now)} more {text}"
    return common.cell(text) if text else common.cell(_folder(row.cwd), "dim")


def _folder(path: str) -> str:
    return path if len(path) <= _TITLE else f"...{path[-_TITLE + 3 :]}"


#: Name -> (what stands in it, how wide it may get; 0: what is left). In the order in which they are shown.
_CELLS: dict[str, tuple[Callable[[Row, float], Text], int]] = {
    "state": (_state, 13),
    "session": (lambda row, now: common.cell(row.id), 22),
    "age": (lambda row, now: Text(_age(row.since, now)), 7),
    "tool": (lambda row, now: common.cell(row.tool), 16),
    "USD": (lambda row, now: Text("" if row.usd is None else f"{row.usd:.2f}"), 8),
    "seen": (lambda row, now: Text(_age(row.evidence_at, now), "dim"), 7),
    "task": (_task, 0),
    "evidence": (lambda row, now: common.cell(row.evidence, "dim"), 0),
}
#: Which columns there are, on a terminal of at least so many.
_LAYOUTS = (
    (100, ("state", "session", "age", "tool", "USD", "task", "evidence", "seen")),
    (70, ("state", "session", "age", "tool", "seen", "task")),
    (44, ("state", "session", "age", "task")),
    (0, ("state", "session", "task")),
)


def table(rows: Sequence[Row], now: float, columns: int) -> list[Text]:
    """A line with the columns' names, and one for each row; columns that are empty are left out."""
    names: tuple[str, ...] = next(names for least, names in _LAYOUTS if columns >= least)
    cells = {name: [_CELLS[name][0](row, now) for row in rows] for name in names}
    names = tuple(name for name in names if name in ("state", "session", "task") or any(cells[name]))
    widths = {}
    for name in names:
        most = _CELLS[name][1]
        if most:
            widths[name] = min(most, max(len(name), *(cell.cell_len for cell in cells[name])))
    free = [name for name in names if name not in widths]
    left = max(len(free) * 4, columns - sum(width + 2 for width in widths.values()) - 2 * (len(free) - 1))
    if len(free) == 2:
        wanted = max(len("task"), *(cell.cell_len for cell in cells["task"]))
        widths["task"] = min(wanted, max(_TITLE // 2, left // 2))
        left -= widths["task"]
        free = ["evidence"]
    widths |= dict.fromkeys(free, left)
    lines = [Text("  ".join(_fit(name, widths[name]) for name in names).rstrip(), "bold")]
    for number in range(len(rows)):
        line = Text()
        for name in names:
            cell = cells[name][number]
            line.append("  " if line else "").append(_fit(cell.plain, widths[name]), cell.style)
        lines.append(line)
    return lines


def _fit(text: str, width: int) -> str:
    """The text in exactly so many columns."""
    if cell_len(text) > width:
        text = set_cell_size(text, max(0, width - 1)) + ("…" if width else "")
    return set_cell_size(text, width)
