"""The waterfall of a trace as a Streamlit component: virtual scroll, so 5,000 spans draw like 14.

The script draws with `textContent` only: span names are hostile.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import streamlit as st

from spanwell_dashboard.colors import GRAY, OPERATIONS, RED
from spanwell_dashboard.formatting import duration
from spanwell_dashboard.tree import Row
from spanwell_dashboard.untrusted import plain

ASSETS: Final = Path(__file__).with_name("assets")
MAX_NAME_CHARS: Final = 200
SHAPES: Final = ("waterfall", (ASSETS / "waterfall.css").read_text(), (ASSETS / "waterfall.js").read_text())


def draw(rows: Sequence[Row], selected: str, height_px: int, key: str) -> str:
    """Mount the waterfall; returns the id of the span the viewer has selected, `selected` at first."""
    name, css, js = SHAPES
    mount = st.components.v2.component(name, html='<div class="waterfall"></div>', css=css, js=js)
    result = mount(data=payload(rows, selected, height_px), key=key, on_span_change=_nothing)
    return str(result.span or selected)


def payload(rows: Sequence[Row], selected: str, height_px: int) -> dict[str, Any]:
    """What the script draws: rows as short lists, times in ms from the start of the trace."""
    begin = min((row.span.start_ms for row in rows), default=0.0)
    end = max((row.span.start_ms + row.span.duration_ms for row in rows), default=0.0)
    return {
        "rows": [
            [
                row.span.span_id,
                plain(row.span.name, MAX_NAME_CHARS),
                row.depth,
                row.size,
                round(row.span.start_ms - begin, 3),
                round(row.span.duration_ms, 3),
                _color(row),
                duration(row.span.duration_ms),
                _note(row),
            ]
            for row in rows
        ],
        "total": max(end - begin, 0.001),
        "selected": selected,
        "height": height_px,
    }


def _color(row: Row) -> str:
    return RED if row.span.status == "error" else OPERATIONS.get(row.span.operation, GRAY)


def _note(row: Row) -> str:
    notes = [plain(row.span.operation, 40)] if row.span.operation else []
    return ", ".join([*notes, *(["error"] if row.span.status == "error" else []), *(["no parent"] * row.orphan)])


def _nothing() -> None:
    """Streamlit returns a component's state only where a callback is given."""
