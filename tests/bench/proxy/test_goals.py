from dataclasses import replace

from tests.bench.load import Measure
from tests.bench.proxy.goals import PACED, STREAMS, UNARY, judge, memory_table
from tests.bench.proxy.table import DIRECT, LITELLM, PORTKEY, SPANWELL

MEASURE = Measure(
    calls=1000,
    answered=1200,
    errors=0,
    per_second=5000.0,
    p50_ms=0.5,
    p95_ms=1.0,
    p99_ms=2.0,
    first_p50_ms=0.5,
    first_p95_ms=0.75,
    cpu_us=150.0,
    rss_mb=100.0,
)
RIVAL = replace(MEASURE, per_second=100.0, cpu_us=9000.0)
SEEN = {
    UNARY: {SPANWELL: MEASURE, PORTKEY: replace(MEASURE, per_second=1000.0), LITELLM: RIVAL},
    PACED: {DIRECT: replace(MEASURE, p95_ms=0.25), SPANWELL: MEASURE},
    STREAMS: {SPANWELL: MEASURE, LITELLM: RIVAL},
}


def test_every_goal_is_judged_beside_its_rival() -> None:
    goals = judge(SEEN, [])

    assert [goal.seen for goal in goals] == ["150.00", "0.75", "100.00", "50.0", "5.0", "60.0"]
    assert all(goal.met for goal in goals)


def test_a_goal_that_is_missed_says_so() -> None:
    slow = {**SEEN, UNARY: {**SEEN[UNARY], SPANWELL: replace(MEASURE, cpu_us=201.0)}}

    assert [goal.name for goal in judge(slow, []) if not goal.met] == ["CPU of a unary call, µs"]


def test_a_rival_that_was_left_out_is_no_goal() -> None:
    alone = {
        window: {name: seen for name, seen in measures.items() if name != LITELLM} for window, measures in SEEN.items()
    }

    assert not any(LITELLM in goal.name for goal in judge(alone, []))


def test_memory_that_grows_on_is_found() -> None:
    steady = judge(SEEN, [(20_000, 100.0), (40_000, 110.0), (200_000, 112.0)])
    growing = judge(SEEN, [(20_000, 100.0), (40_000, 110.0), (200_000, 140.0)])

    assert (steady[-1].met, growing[-1].met) == (True, False)


def test_memory_is_shown_before_and_after() -> None:
    lines = memory_table({SPANWELL: 80.0, LITELLM: 325.0}, SEEN[STREAMS], [(40_000, 110.0)]).splitlines()

    assert lines[2] == "| Spanwell | 80 | 100 |"
    assert lines[-1] == "The long run, calls on top of the windows': 110 MB after 40,000."
