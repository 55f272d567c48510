"""The pictures: bars as SVG, written by hand; they follow the reader's light or dark theme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from bench import servers, tables

_STYLE = """\
<style>
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
    fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .note { font-size: 12px; fill: #59636e; stroke: #ffffff; stroke-width: 3px; paint-order: stroke; }
  .tick { stroke: #d1d9e0; stroke-width: 1; }
  .ours { fill: #0a66c2; } .peer { fill: #9aa7b4; } .lossy { fill: #dcb26a; }
  .spread { stroke: #1f2328; stroke-width: 1.2; opacity: .65; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .note { fill: #9198a1; stroke: #0d1117; } .tick { stroke: #3d444d; }
    .ours { fill: #4c9aff; } .peer { fill: #6b7785; } .lossy { fill: #b98a3c; } .spread { stroke: #e6edf3; }
  }
</style>
"""

_WIDTH, _LEFT, _RIGHT = 860, 270, 100
_ROW, _BAR = 24, 15


@dataclass
class Bar:
    """A value with its quartiles; ``kind`` is its colour: ours, peer or lossy."""

    label: str
    value: float
    low: float
    high: float
    kind: str
    note: str = ""


@dataclass
class Panel:
    """Bars on one scale, under a title."""

    title: str
    bars: list[Bar] = field(default_factory=list)


def picture(panels: Sequence[Panel], unit: str, legend: Sequence[tuple[str, str]], about: str) -> str:
    """The SVG of panels below each other, each on a scale of its own."""
    parts: list[str] = []
    y = 14.0
    for panel in panels:
        y = _panel(panel, unit, y, parts)
    x = float(_LEFT)
    for kind, text in legend:
        parts.append(f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="12" height="12" rx="2"/>')
        parts.append(f'<text class="note" x="{x + 18:.0f}" y="{y + 10.5:.1f}">{escape(text)}</text>')
        x += 36 + 6.6 * len(text)
    y += 28 if legend else 0
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y:.0f}" width="{_WIDTH}" '
        f'height="{y:.0f}" role="img">\n<title>{escape(about)}</title>\n{_STYLE}{body}\n</svg>\n'
    )


def _panel(panel: Panel, unit: str, y: float, parts: list[str]) -> float:
    """Draw one panel from ``y`` on; where the next one begins."""
    parts.append(f'<text class="title" x="12" y="{y + 10:.1f}">{escape(panel.title)}</text>')
    top = y + 26
    bottom = top + _ROW * len(panel.bars)
    room = _WIDTH - _LEFT - _RIGHT
    most = max(bar.high for bar in panel.bars)
    for tick in _ticks(most):
        x = _LEFT + room * tick / most
        parts.append(f'<line class="tick" x1="{x:.1f}" y1="{top - 4:.1f}" x2="{x:.1f}" y2="{bottom:.1f}"/>')
        text = f"{tick:,g}" + (f" {unit}" if tick else "")
        parts.append(
            f'<text class="note" x="{x:.1f}" y="{bottom + 14:.1f}" text-anchor="middle">{text}</text>'
        )
    for index, bar in enumerate(panel.bars):
        middle = top + _ROW * index + _ROW / 2
        end = _LEFT + room * bar.value / most
        parts.append(
            f'<text x="{_LEFT - 10}" y="{middle + 4.5:.1f}" text-anchor="end">{escape(bar.label)}</text>'
            f'<rect class="{bar.kind}" x="{_LEFT}" y="{middle - _BAR / 2:.1f}" '
            f'width="{max(end - _LEFT, 1):.1f}" height="{_BAR}" rx="2"/>'
        )
        low, high = (_LEFT + room * value / most for value in (bar.low, bar.high))
        if high - low > 1:
            parts.append(
                f'<line class="spread" x1="{low:.1f}" y1="{middle:.1f}" x2="{high:.1f}" y2="{middle:.1f}"/>'
            )
        parts.append(
            f'<text class="note" x="{max(end, high) + 8:.1f}" y="{middle + 4.5:.1f}">'
            f"{tables.number(bar.value)}{escape(bar.note)}</text>"
        )
    return bottom + 42


def _ticks(most: float) -> list[float]:
    """Round numbers from 0 up to ``most``, four or five of them."""
    rough = most / 4
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(base * factor for factor in (1, 2, 2.5, 5, 10) if base * factor >= rough)
    return [step * number for number in range(int(most / step) + 1)]


def draw(parts: dict[str, dict[str, Any]]) -> dict[str, str]:
    """File name -> SVG, for the parts that were measured."""
    found = {}
    if "a" in parts:
        found["processes.svg"] = _processes(parts["a"])
    if "b" in parts:
        found["throughput.svg"] = _throughput(parts["b"])
    if "d" in parts:
        found["growth.svg"] = _growth(parts["d"])
    return found


def _processes(part: dict[str, Any]) -> str:
    bare = part["programs"][0]["median"]
    ours = ("hook", "hook-nobody", "claim", "heartbeat")
    bars = [
        Bar(each["title"], each["median"], each["q1"], each["q3"], "ours" if each["name"] in ours else "peer",
            "" if each["name"] == "bare" else f"  ({each['median'] / bare:.1f} ×)")  # noqa: RUF001
        for each in part["programs"]
    ]  # fmt: skip
    panel = Panel("From a process' start to its end, ms (less is better)", bars)
    return picture([panel], "ms", [("ours", "coord"), ("peer", "bare Python, and others doing the same")],
                   "What hook and helper processes cost")  # fmt: skip


def _throughput(part: dict[str, Any]) -> str:
    panels = []
    for aof in servers.AOF:
        bars = []
        for peer in part["peers"]:
            for each in part["rates"]:
                if (each["peer"], each["aof"], each["processes"]) == (peer["name"], aof, 2):
                    kind = "ours" if peer["ours"] else "peer" if peer["survives"] else "lossy"
                    drain = each["drain"]
                    bars.append(Bar(peer["title"], drain["median"], drain["q1"], drain["q3"], kind))
        if bars:
            bars.sort(key=lambda bar: -bar.value)
            panels.append(
                Panel(f"Tasks per second, two processes, {tables.mode(aof)} (more is better)", bars)
            )
    legend = [("ours", "coord"), ("peer", "a killed worker's task comes back"), ("lossy", "it is lost")]
    return picture(panels, "", legend, "Tasks claimed and completed per second")


def _growth(part: dict[str, Any]) -> str:
    backlog = Panel("Claim and complete by the length of the backlog, server µs (less is better)")
    for each in part["backlog"]:
        value = each["pair_server"]
        label = f"{each['tasks']:,} queued tasks"
        backlog.bars.append(Bar(label, value["median"], value["q1"], value["q3"], "ours"))
    crowd = Panel("Claim and complete by the number of workers, wall µs")
    command = Panel("The command coord workers (a table), by the number of workers, ms")
    for each in part["workers"]:
        label = f"{each['workers']:,} workers"
        for panel, name, scale in ((crowd, "pair_us", 1.0), (command, "workers_table", 1000.0)):
            median, q1, q3 = (each[name][what] * scale for what in ("median", "q1", "q3"))
            panel.bars.append(Bar(label, median, q1, q3, "ours"))
    return picture([backlog, crowd, command], "", [], "What grows with tasks and workers")
