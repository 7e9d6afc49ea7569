from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanwell_collector.worker.alerts import (
    OK,
    Observation,
    Outcome,
    State,
    Transition,
    fingerprint_of,
    labels_of,
    step,
)
from spanwell_collector.worker.sections import Rule

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RULE = Rule(
    name="slow", metric="p95_ms", op=">", threshold=2000, recover=1500, for_seconds=30, min_requests=10, by="model"
)
SLOW, MIDDLING, QUICK = Observation(2500.0, 50), Observation(1800.0, 50), Observation(900.0, 50)
SILENT, SPARSE = Observation(None, 0), Observation(9000.0, 3)
EMPTY_BUT_QUICK = Observation(0.0, 0)


def play(observations: list[Observation], rule: Rule = RULE, every_seconds: float = 15) -> list[tuple[float, Outcome]]:
    """The transitions, each with its second."""
    state, told = OK, []
    for index, observation in enumerate(observations):
        now = START + timedelta(seconds=index * every_seconds)
        state, transition = step(state, observation, rule, now)
        if transition:
            told.append(((transition.at - START).total_seconds(), transition.outcome))
    return told


@pytest.mark.parametrize(
    ("observations", "told"),
    [
        pytest.param([QUICK] * 5, [], id="quiet"),
        pytest.param([SLOW, SLOW, SLOW], [(30, "firing")], id="fires when it has held for 30 s"),
        pytest.param([SLOW, SLOW, QUICK, SLOW, SLOW], [], id="an interruption starts the wait anew"),
        pytest.param([SLOW] * 3 + [MIDDLING] * 5, [(30, "firing")], id="between recover and threshold it goes on"),
        pytest.param([SLOW] * 3 + [QUICK], [(30, "firing"), (45, "resolved")], id="recovers"),
        pytest.param([SLOW] * 3 + [SILENT] * 9, [(30, "firing")], id="no data never resolves"),
        pytest.param([SLOW] * 3 + [EMPTY_BUT_QUICK] * 9, [(30, "firing")], id="nor does a zero over no requests"),
        pytest.param([SPARSE] * 9, [], id="too few requests prove nothing"),
        pytest.param([SLOW, SILENT, SLOW], [(30, "firing")], id="a gap while pending changes nothing"),
        pytest.param(
            [SLOW] * 3 + [QUICK] + [SLOW] * 3,
            [(30, "firing"), (45, "resolved"), (90, "firing")],
            id="fires again",
        ),
    ],
)
def test_an_alert_goes_through_its_states(observations: list[Observation], told: list[tuple[float, Outcome]]) -> None:
    assert play(observations) == told


def test_without_a_wait_the_first_breach_fires() -> None:
    rule = RULE.model_copy(update={"for_seconds": 0})

    state, transition = step(OK, SLOW, rule, START)

    assert state == State("firing", START)
    assert transition == Transition("firing", started=START, at=START, value=2500.0)


def test_a_rule_on_too_little_traffic_recovers_upwards() -> None:
    rule = Rule(name="quiet", metric="requests", op="<", threshold=5, recover=10, min_requests=0)

    told = play([Observation(0.0, 0), Observation(7.0, 7), Observation(11.0, 11)], rule)

    assert told == [(0, "firing"), (30, "resolved")]


def test_a_clock_that_jumps_back_does_not_fire() -> None:
    pending = State("pending", START)

    state, transition = step(pending, SLOW, RULE, START - timedelta(hours=1))

    assert state == pending
    assert transition is None


values = st.one_of(st.none(), st.floats(0, 5000))
observations = st.lists(st.builds(Observation, values, st.integers(0, 30)), max_size=60)


@given(observations, st.sampled_from([0.0, 15.0, 60.0]))
def test_firing_and_resolved_take_turns_and_each_has_its_reason(seen: list[Observation], for_seconds: float) -> None:
    rule = RULE.model_copy(update={"for_seconds": for_seconds})

    told = play(seen, rule)

    assert [outcome for _, outcome in told] == [("firing", "resolved")[index % 2] for index in range(len(told))]
    for second, outcome in told:
        cause = seen[int(second / 15)]
        assert cause.value is not None
        assert cause.requests >= 10
        assert cause.value > 2000 if outcome == "firing" else cause.value <= 1500


@given(observations, st.integers(0, 59))
def test_silence_in_between_tells_nobody_anything(seen: list[Observation], at: int) -> None:
    rule = RULE.model_copy(update={"for_seconds": 0})
    outcomes = [outcome for _, outcome in play(seen, rule)]

    with_silence = play([*seen[:at], SILENT, *seen[at:]], rule)

    assert [outcome for _, outcome in with_silence] == outcomes


def test_labels_name_the_rule_its_single_filters_and_the_group() -> None:
    rule = Rule(
        name="slow",
        metric="p95_ms",
        op=">",
        threshold=1,
        by="model",
        filters={"app": ["shop"], "team": ["a", "b"]},
        severity="page",
    )

    assert labels_of(rule, "llama") == {"alertname": "slow", "severity": "page", "app": "shop", "model": "llama"}


def test_a_fingerprint_depends_on_what_the_alert_is_about_and_not_on_its_severity() -> None:
    labels = {"alertname": "slow", "severity": "page", "model": "a"}

    assert fingerprint_of(labels) == fingerprint_of({**labels, "severity": "ticket"})
    assert fingerprint_of(labels) != fingerprint_of({**labels, "model": "b"})
    assert fingerprint_of({"alertname": "a", "model": "b,c"}) != fingerprint_of({"alertname": "a,b", "model": "c"})
