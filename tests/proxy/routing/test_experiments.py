"""Which arm a unit has, and what an arm changes."""

from collections import Counter
from typing import Any

import pytest

from spanwell_proxy.routing.evidence import Tally
from spanwell_proxy.routing.experiments import (
    Arm,
    Experiment,
    Guardrail,
    Prompt,
    State,
    apply_arm,
    choose_arm,
    current,
    join,
    wants_copy,
)
from spanwell_proxy.routing.guardrails import judge_experiment

OLD, NEW = Arm("old", 9), Arm("new", 1, params={"temperature": 0})
TRIAL = Experiment("trial", "fox", (OLD, NEW))
RUNNING = State()


def test_a_unit_keeps_its_arm_and_the_weights_are_kept() -> None:
    arms = [choose_arm(TRIAL, RUNNING, f"user {number}") for number in range(4000)]
    again = [choose_arm(TRIAL, RUNNING, f"user {number}") for number in range(4000)]

    assert arms == again
    assert 0.08 < Counter(arm.name for arm, _ in arms)["new"] / 4000 < 0.12
    assert {probability for arm, probability in arms if arm.name == "new"} == {0.1}


def test_a_larger_share_keeps_those_who_have_it() -> None:
    more = Experiment("trial", "fox", (Arm("old", 8), Arm("new", 2)))
    users = [f"user {number}" for number in range(2000)]
    before = {user for user in users if choose_arm(TRIAL, RUNNING, user)[0].name == "new"}
    after = {user for user in users if choose_arm(more, RUNNING, user)[0].name == "new"}

    assert before < after


@pytest.mark.parametrize("status", ["pinned", "promoted", "rolled-back"])
def test_a_decision_gives_everybody_the_same_arm(status: Any) -> None:
    assert [choose_arm(TRIAL, State(status, "new"), str(user)) for user in range(100)] == [(NEW, 1.0)] * 100


def test_what_was_decided_of_another_edition_counts_no_more() -> None:
    known = State("promoted", "new", TRIAL.edition, 2)
    changed = Experiment("trial", "fox", (OLD, Arm("new", 1, params={"temperature": 1})))

    assert (current(TRIAL, known), current(changed, known).status) == (known, "running")


def test_calls_without_a_unit_are_units_of_their_own() -> None:
    joined = [join(TRIAL, RUNNING, "", bytes([number] * 8), {}) for number in range(200)]

    assert {one.unit for one in joined} == {0}
    assert {one.arm.name for one in joined} == {"old", "new"}


def test_copies_are_made_of_their_share() -> None:
    arm = Arm("shadow", 0, shadow=0.25)
    copied = sum(wants_copy(arm, number.to_bytes(8)) for number in range(4000))

    assert 0.22 < copied / 4000 < 0.28


@pytest.mark.parametrize(
    ("request_", "changed"),
    [
        (
            {"messages": [{"role": "system", "content": "old"}, {"role": "user", "content": "hi"}]},
            {"messages": [{"role": "system", "content": "new"}, {"role": "user", "content": "hi"}]},
        ),
        ({"messages": [{"role": "user"}], "system": "old"}, {"messages": [{"role": "user"}], "system": "new"}),
        ({"input": "hi"}, {"input": "hi", "instructions": "new"}),
    ],
)
def test_a_prompt_version_takes_the_place_of_the_instructions(request_: Any, changed: Any) -> None:
    assert apply_arm(Arm("new", prompt=Prompt("helper", "2", "new")), request_) == changed


def test_parameters_of_an_arm_go_before_the_callers() -> None:
    request = {"temperature": 1, "messages": []}

    assert apply_arm(NEW, request) == {"temperature": 0, "messages": []}
    assert request["temperature"] == 1


def test_a_harmful_arm_breaks_its_guardrail() -> None:
    trial = Experiment("trial", "fox", (OLD, NEW), guardrails=(Guardrail("errors", 0.02), Guardrail("latency", 0.2)))
    fine = {("old", "errors"): Tally(500, 5, 5), ("new", "errors"): Tally(60, 1, 1)}

    assert judge_experiment(trial, fine).broken is None
    broken = judge_experiment(trial, fine | {("new", "errors"): Tally(60, 30, 30)}).broken
    assert broken is not None
    assert (broken.arm, broken.metric, broken.limit) == ("new", "errors", 40.0)


def test_less_of_a_score_is_worse() -> None:
    trial = Experiment("trial", "fox", (OLD, NEW), guardrails=(Guardrail("score:helpful", 0.02),))
    good, bad = Tally(400, 320, 320), Tally(400, 200, 200)

    assert judge_experiment(trial, {("old", "score:helpful"): good, ("new", "score:helpful"): bad}).broken
    assert not judge_experiment(trial, {("old", "score:helpful"): bad, ("new", "score:helpful"): good}).broken


def test_a_split_that_is_off_shows() -> None:
    counts = {("old", "assigned"): Tally(700, 700, 700), ("new", "assigned"): Tally(300, 300, 300)}

    assert judge_experiment(TRIAL, counts).is_mismatched
