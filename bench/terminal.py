"""A run's tables on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench import tables


def show(found: dict[str, Any]) -> None:
    """Every part that was measured, then the goals."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    for name, part in sorted(found["parts"].items()):
        for table in tables.of_part(name, part):
            console.print(drawn(table))
        for each in part["notes"]:
            console.print(Text(each, style="yellow"))
        console.print()
    console.print(drawn(tables.judged(found["goals"])))
    for goal in found["goals"]:
        if not goal["met"] and goal["reason"]:
            console.print(Text(f"{goal['name']}: {goal['reason']}"))
    missed = sum(not goal["met"] for goal in found["goals"])
    console.print(f"{len(found['goals']) - missed} goals met, {missed} missed")


def drawn(table: tables.Table) -> RichTable:
    """One table."""
    made = RichTable(title=table.title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for index, column in enumerate(table.columns):
        made.add_column(column, justify="left" if index < table.left else "right", overflow="fold")
    for row in table.rows:
        styles = {"met": "green", "MISSED": "bold red"}
        made.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in row))
    return made
