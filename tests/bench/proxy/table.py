"""Measures to Markdown: one table a window, one row a target, each beside the direct call and the other gateways."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.load import Measure

DIRECT, RELAY, SPANWELL, PORTKEY, LITELLM = "direct", "bare relay", "Spanwell", "Portkey", "LiteLLM"
OTHERS = (PORTKEY, LITELLM)


@dataclass(frozen=True)
class Window:
    """How the targets are called. `rate` is calls a second; 0 is the closed loop, which shows the most it can do."""

    connections: int
    stream: bool = False
    rate: float = 0.0

    @property
    def title(self) -> str:
        kind = "Streams" if self.stream else "Unary calls"
        pace = f"{self.rate:.0f} a second" if self.rate else "as fast as they go"
        return f"{kind}, {pace}, {self.connections} connections"


def window_table(window: Window, measures: Mapping[str, Measure]) -> str:
    """The table of one window. "Added" is a percentile less the direct call's; the direct row shows its own."""
    rows = [_row(window, name, measures) for name in measures]
    lines = [[*rows[0]], ["---", *["---:"] * (len(rows[0]) - 1)], *([*row.values()] for row in rows)]
    return "\n".join([f"**{window.title}**", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _row(window: Window, name: str, measures: Mapping[str, Measure]) -> dict[str, str]:
    measure = measures[name]
    others = {other: measures[other] for other in OTHERS if other in measures}
    row = {"": name, "calls/s": f"{measure.per_second:,.0f}"}
    if not window.rate:  # where the pace is set, it says nothing of the target
        row |= {f"× {other}": _ratio(measure.per_second, its.per_second) for other, its in others.items()}
    row["CPU µs/call"] = f"{measure.cpu_us:,.0f}"
    row |= {f"{other}'s ÷ this": _ratio(its.cpu_us, measure.cpu_us) for other, its in others.items()}
    row["added p50 ms"] = _added(name, "p50_ms", measures)
    row["added p95 ms"] = _added(name, "p95_ms", measures)
    if window.stream:
        row["first byte p50"] = _added(name, "first_p50_ms", measures)
        row["first byte p95"] = _added(name, "first_p95_ms", measures)
    return {**row, "RSS MB": f"{measure.rss_mb:,.0f}", "errors": f"{measure.errors}"}


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.1f}" if base and not math.isnan(value / base) else ""


def _added(name: str, field: str, measures: Mapping[str, Measure]) -> str:
    value: float = getattr(measures[name], field)
    if name == DIRECT or DIRECT not in measures:
        return f"({value:.2f})"
    direct: float = getattr(measures[DIRECT], field)
    return f"{value - direct:.2f}"
