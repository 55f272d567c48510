"""docs/benchmarks.md and its pictures, made from bench/results/latest.json: `python -m bench.report`.

The page's text is bench/template.md; every number in it comes from the JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from string import Template
from typing import Any

from bench import charts, goals, tables

#: Raise it when the JSON's layout changes.
FORMAT = 1

ROOT = Path(__file__).resolve().parent.parent
LATEST = ROOT / "bench" / "results" / "latest.json"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURES = ROOT / "docs" / "benchmarks"

_MISSING = "Not measured in this run."


def write(found: dict[str, Any]) -> list[Path]:
    """Write the page and its pictures; their paths."""
    PICTURES.mkdir(exist_ok=True)
    written = []
    for name, text in charts.draw(found["parts"]).items():
        path = PICTURES / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    PAGE.write_text(page(found), encoding="utf-8")
    return [*written, PAGE]


def page(found: dict[str, Any]) -> str:
    """The text of docs/benchmarks.md."""
    parts = found["parts"]
    template = Template((ROOT / "bench" / "template.md").read_text(encoding="utf-8"))
    words = {
        "machine": _machine(parts), "goals": _goals(found["goals"]), "parts": _parts(parts),
        "quick": "**This was a quick run: its numbers are rough.**\n\n" if found["quick"] else "",
        "notes": _notes(parts), "guarantees": _guarantees(parts), "sizes": _sizes(parts),
    }  # fmt: skip
    for name in "abcde":
        part = parts.get(name)
        words[f"part_{name}"] = (
            "\n\n".join(markdown(each) for each in tables.of_part(name, part)) if part else _MISSING
        )
    return template.substitute(words).rstrip() + "\n"


def markdown(table: tables.Table) -> str:
    """A table as Markdown."""
    marks = [":--" if index < table.left else "--:" for index in range(len(table.columns))]
    lines = [table.columns, marks, *([cell.replace("|", "\\|") for cell in row] for row in table.rows)]
    title = f"**{table.title}**\n\n" if table.title else ""
    return title + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _goals(found: list[dict[str, Any]]) -> str:
    text = markdown(tables.judged(found))
    missed = [goal for goal in found if not goal["met"]]
    text += f"\n\n{len(found) - len(missed)} of {len(found)} goals were met."
    for goal in missed:
        text += f"\n\n* **Missed**: {goal['text']} ({tables.number(goal['value'])} {goal['unit']}). "
        text += (
            goal["reason"][:1].upper() + goal["reason"][1:] if goal["reason"] else "No reason is known yet."
        )
    return text


def _machine(parts: dict[str, Any]) -> str:
    lines = []
    seen: dict[tuple[Any, ...], list[str]] = {}
    for name, part in sorted(parts.items()):
        facts = part["machine"]
        key = tuple(value for word, value in facts.items() if word not in ("load", "sync_ms"))
        seen.setdefault(key, []).append(name)
    for names in seen.values():
        facts = parts[names[0]]["machine"]
        lines.append(
            f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']:g} GiB; {facts['kernel']}; "
            f"Python {facts['python']}, Redis {facts['redis']}, redis-py {facts['redis_py']}, "
            f"RQ {facts['rq']}, coord {facts['coord']}; a small `fdatasync` takes "
            f"{tables.number(facts['sync_ms'])} ms"
            + (f" (part{'s' if len(names) > 1 else ''} {', '.join(names)})" if len(seen) > 1 else "")
            + "."
        )
    return "\n\n".join(lines)


def _parts(parts: dict[str, Any]) -> str:
    rows = [
        [name, part["measured"], tables.number(part["took_s"]), f"{part['machine']['load']:.2f}"]
        for name, part in sorted(parts.items())
    ]
    return markdown(tables.Table("", ["part", "begun (UTC)", "took s", "load before it"], rows, left=2))


def _guarantees(parts: dict[str, Any]) -> str:
    return markdown(tables.guarantees(parts["b"])) if "b" in parts else _MISSING


def _notes(parts: dict[str, Any]) -> str:
    lines = [f"* {note}" for _, part in sorted(parts.items()) for note in part["notes"]]
    if "b" in parts:
        lines += [
            f"* {each['environment']} could not be installed: {each['why']}" for each in parts["b"]["refused"]
        ]
    return "\n".join(dict.fromkeys(lines)) or "Nothing was left out or cut off."


def _sizes(parts: dict[str, Any]) -> str:
    """How often each thing was measured."""
    text = []
    if "a" in parts:
        text.append(f"part a, {parts['a']['sizes']['process_rounds']} rounds of all programs")
    if "b" in parts:
        sizes = parts["b"]["sizes"]
        text.append(
            f"part b, {sizes['throughput_rounds']} rounds with two processes and "
            f"{sizes['other_rounds']} with one and with four"
        )
    if "d" in parts:
        sizes = parts["d"]["sizes"]
        text.append(f"part d, {sizes['backlog_rounds']} rounds of {sizes['backlog_batch']} tasks")
    return "; ".join(text) or _MISSING


def main() -> None:
    """Regenerate from the JSON (another one than latest.json may be named)."""
    source = Path(sys.argv[1]) if sys.argv[1:] else LATEST
    try:
        found = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"{source} cannot be read ({error}): `make bench` measures")
    if found.get("format") != FORMAT:
        sys.exit(f"{source} is of another version: `make bench` measures anew")
    found["goals"] = goals.judge(found["parts"])
    for path in write(found):
        print(path)


if __name__ == "__main__":
    main()
