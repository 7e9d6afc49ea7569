"""The windows, and what the gateway has to show in them beside the others."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tests.bench.load import Measure
from tests.bench.proxy.table import DIRECT, LITELLM, PORTKEY, SPANWELL, Window

UNARY: Final = Window(connections=16)
PACED: Final = Window(connections=16, rate=500)
STREAMS: Final = Window(connections=64, stream=True)
WINDOWS: Final = (UNARY, PACED, STREAMS)

TIMES_LITELLM, TIMES_PORTKEY, TIMES_LITELLM_STREAMS = 40, 5, 15
MOST_CPU_US, MOST_ADDED_MS, MOST_RSS_MB = 200, 1.0, 150
MOST_GROWTH = 1.05  # from when it has settled, after a fifth of the long run, to its end

Measures = Mapping[Window, Mapping[str, Measure]]
Resident = Sequence[tuple[int, float]]  # calls answered until then, and MB


class Goal(NamedTuple):
    """`seen` beside `wanted`, both as they are read by people."""

    name: str
    wanted: str
    seen: str
    met: bool


def judge(measures: Measures, resident: Resident) -> list[Goal]:
    """Every goal whose rivals were measured."""
    unary, paced, streams = (measures[window] for window in WINDOWS)
    ours = unary[SPANWELL]
    goals = [
        _at_most("CPU of a unary call, µs", ours.cpu_us, MOST_CPU_US),
        _at_most("p95 added at 500 calls a second, ms", paced[SPANWELL].p95_ms - paced[DIRECT].p95_ms, MOST_ADDED_MS),
        _at_most("resident memory, MB", streams[SPANWELL].rss_mb, MOST_RSS_MB),
    ]
    for rival, times in ((LITELLM, TIMES_LITELLM), (PORTKEY, TIMES_PORTKEY)):
        if rival in unary:
            goals.append(
                _at_least(f"unary calls a second, × {rival}", ours.per_second / unary[rival].per_second, times)
            )
    if LITELLM in streams:
        less = streams[LITELLM].cpu_us / streams[SPANWELL].cpu_us
        goals.append(_at_least(f"CPU of a stream, {LITELLM}'s ÷ ours", less, TIMES_LITELLM_STREAMS))
    if resident:
        goals.append(_at_most("memory at the end of the long run ÷ at its settling", _growth(resident), MOST_GROWTH))
    return goals


def goals_table(goals: Sequence[Goal]) -> str:
    """Markdown."""
    lines = [f"| {goal.name} | {goal.wanted} | {goal.seen} | {'yes' if goal.met else '**no**'} |" for goal in goals]
    return "\n".join(["| goal | wanted | seen | met |", "| --- | ---: | ---: | --- |", *lines])


def memory_table(start_mb: Mapping[str, float], after: Mapping[str, Measure], resident: Resident) -> str:
    """Resident memory of every target before and after its windows, and of ours on its way through the long run."""
    lines = [f"| {name} | {start_mb[name]:,.0f} | {seen.rss_mb:,.0f} |" for name, seen in after.items()]
    table = "\n".join(["| RSS, MB | at start | after its windows |", "| --- | ---: | ---: |", *lines])
    if not resident:
        return table
    way = ", ".join(f"{mb:,.0f} MB after {calls:,}" for calls, mb in resident)
    return f"{table}\n\nThe long run, calls on top of the windows': {way}."


def _growth(resident: Resident) -> float:
    total = resident[-1][0]
    settled = next(mb for calls, mb in resident if calls >= total / 5)
    return resident[-1][1] / settled


def _at_most(name: str, seen: float, wanted: float) -> Goal:
    return Goal(name, f"≤ {wanted:g}", f"{seen:.2f}", seen <= wanted)


def _at_least(name: str, seen: float, wanted: float) -> Goal:
    return Goal(name, f"≥ {wanted:g}", f"{seen:.1f}", seen >= wanted)
