"""Plain tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Lines of a plain table with the columns that some row has."""
    shown = [column for column in columns if any(show(row.get(column)) for row in rows)] or list(columns)
    cells = [shown, *([show(row.get(column)) for column in shown] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(shown))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def show(value: Any) -> str:
    """A cell: lists as words, a budget as it is given."""
    if isinstance(value, list):
        return " ".join(show(item) for item in value)
    if isinstance(value, dict):
        return f"{value.get('usd')}/{value.get('period')}"
    return {None: "", True: "yes", False: ""}.get(value, str(value))
