"""Two windows, or two groups of calls, side by side."""

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from spanwell_collector.queries.metrics import break_down, get_totals
from spanwell_collector.queries.selection import Selection
from spanwell_collector.queries.sources import Source, choose_sources
from spanwell_collector.registry import Field
from spanwell_collector.store.client import Store

SAMPLES: Final = "requests"
MOST_GROUPS: Final = 10_000  # of one side, so that a group that is small there is not taken for missing


def compare(
    store: Store, sides: tuple[Selection, Selection], metrics: Sequence[str], *, by: Field | None, limit: int
) -> pa.Table:
    """Rows {[by], metric, a, b, difference, ratio, requests_a, requests_b}; difference is b - a, ratio b / a.

    With `by`, a group that one side lacks has no value there; groups with most requests come first.
    """
    asked = [SAMPLES, *(name for name in metrics if name != SAMPLES)]
    first, second = (_measure(store, side, asked, by) for side in choose_sources(store, sides, asked, by))
    groups = sorted(
        first.keys() | second.keys(), key=lambda group: (-_count(first, group) - _count(second, group), group)
    )
    rows = [
        ({by.name: group} if by else {}) | _row(name, first.get(group, {}), second.get(group, {}))
        for group in groups[:limit]
        for name in metrics
    ]
    return pa.Table.from_pylist(rows, schema=_schema(by))


def _measure(store: Store, side: Source, asked: Sequence[str], by: Field | None) -> dict[str, dict[str, Any]]:
    if by is None:
        return {"": get_totals(store, side, asked).to_pylist()[0]}
    rows = break_down(store, side, asked, by=by, limit=MOST_GROUPS).to_pylist()
    return {row[by.name]: row for row in rows}


def _count(side: dict[str, dict[str, Any]], group: str) -> int:
    return int(side[group][SAMPLES]) if group in side else 0


def _row(name: str, first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    a, b = _number(first.get(name)), _number(second.get(name))
    return {
        "metric": name,
        "a": a,
        "b": b,
        "difference": None if a is None or b is None else b - a,
        "ratio": None if not a or b is None else b / a,
        "requests_a": first.get(SAMPLES, 0),
        "requests_b": second.get(SAMPLES, 0),
    }


def _number(value: Any) -> float | None:
    """None stands for what cannot be measured: the percentile of nothing is not a number."""
    return None if value is None or value != value else float(value)


def _schema(by: Field | None) -> pa.Schema:
    columns = [("metric", pa.string()), *((name, pa.float64()) for name in ("a", "b", "difference", "ratio"))]
    counts = [(f"requests_{side}", pa.uint64()) for side in ("a", "b")]
    return pa.schema([*([(by.name, pa.string())] if by else []), *columns, *counts])
