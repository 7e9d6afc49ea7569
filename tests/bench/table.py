"""Measures to Markdown: one table a window, one row a target, each beside the direct call and beside LiteLLM."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.load import Measure

DIRECT, LITELLM = "direct", "LiteLLM proxy"


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
    first_byte = ["added first byte p50 ms", "p95"] if window.stream else []
    heads = [
        "",
        "calls/s",
        "× LiteLLM",
        "CPU µs/call",
        "÷ LiteLLM's",
        "added p50 ms",
        "p95",
        *first_byte,
        "RSS MB",
        "errors",
    ]
    rows = [_row(name, window, measures) for name in measures]
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join([f"**{window.title}**", "", *("| " + " | ".join(row) + " |" for row in [heads, rule, *rows])])


def _row(name: str, window: Window, measures: Mapping[str, Measure]) -> list[str]:
    measure, litellm = measures[name], measures.get(LITELLM)
    fields = ["p50_ms", "p95_ms", *(["first_p50_ms", "first_p95_ms"] if window.stream else [])]
    return [
        name,
        f"{measure.per_second:,.0f}",
        _ratio(measure.per_second, litellm.per_second) if litellm else "",
        f"{measure.cpu_us:,.0f}",
        _ratio(litellm.cpu_us, measure.cpu_us) if litellm else "",
        *(_added(name, field, measures) for field in fields),
        f"{measure.rss_mb:,.0f}",
        f"{measure.errors}",
    ]


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.1f}" if base and not math.isnan(value / base) else ""


def _added(name: str, field: str, measures: Mapping[str, Measure]) -> str:
    value: float = getattr(measures[name], field)
    if name == DIRECT or DIRECT not in measures:
        return f"({value:.2f})"
    direct: float = getattr(measures[DIRECT], field)
    return f"{value - direct:.2f}"
