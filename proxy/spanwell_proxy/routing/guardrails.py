"""Whether an experiment does harm: its arms against the control, by the evidence so far. Pure."""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from spanwell_proxy.routing.evidence import (
    PRIOR,
    Interval,
    Tally,
    allocation_evidence,
    find_interval,
    mean_evidence,
    rate_evidence,
)
from spanwell_proxy.routing.experiments import Arm, Experiment, Guardrail

ERRORS, ASSIGNED = "errors", "assigned"
LOGARITHMIC: Final = frozenset(("latency", "ttft", "cost"))  # compared as shares: what doubles is 0.69 more
SCORE: Final = "score:"
SCALES: Final = {"latency": 0.3, "ttft": 0.3, "cost": 0.3}  # about the effect that is looked for
RATE_SCALE, SCORE_SCALE = 0.05, 0.1
MISMATCH: Final = 0.001
LARGEST: Final = math.log(1e9)  # of an e-value: more says no more

Tallies = Mapping[tuple[str, str], Tally]  # by arm and metric


class Finding(NamedTuple):
    """One guardrail of one arm. `evidence` is an e-value; it holds against the arm from `limit` on."""

    arm: str
    metric: str
    margin: float
    control: Tally
    observed: Tally
    evidence: float
    limit: float
    interval: Interval | None

    @property
    def is_broken(self) -> bool:
        return self.evidence >= self.limit


class Verdict(NamedTuple):
    """All guardrails, and whether units are split as they should be."""

    findings: tuple[Finding, ...]
    mismatch: float  # e-value of the split
    is_mismatched: bool

    @property
    def broken(self) -> Finding | None:
        return max((one for one in self.findings if one.is_broken), key=lambda one: one.evidence, default=None)


def to_observation(metric: str, value: float) -> float | None:
    """What is counted of a value; None where it says nothing."""
    if metric not in LOGARITHMIC:
        return value
    return math.log(value) if value > 0 else None


def judge_experiment(experiment: Experiment, tallies: Tallies) -> Verdict:
    """The chance that any guardrail of any arm is ever found broken without cause is at most alpha, all together."""
    control, *others = experiment.live
    limit = len(experiment.guardrails) * len(others) / experiment.alpha
    findings = tuple(
        _find(experiment, guardrail, control, arm, tallies, limit)
        for arm in others
        for guardrail in experiment.guardrails
    )
    counts = [tallies.get((arm.name, ASSIGNED), Tally()).size for arm in experiment.live]
    mismatch = _to_value(allocation_evidence(counts, [arm.weight for arm in experiment.live])) if others else 1.0
    return Verdict(findings, mismatch, mismatch >= 1 / MISMATCH)


def _find(
    experiment: Experiment, guardrail: Guardrail, control: Arm, arm: Arm, tallies: Tallies, limit: float
) -> Finding:
    metric, margin = guardrail
    before, after = (tallies.get((one.name, metric), Tally()) for one in (control, arm))
    return Finding(
        arm=arm.name,
        metric=metric,
        margin=margin,
        control=before,
        observed=after,
        evidence=_to_value(_weigh(metric, margin, before, after, experiment.least)),
        limit=limit,
        interval=find_interval(_soften(metric, before), _soften(metric, after), experiment.alpha, _scale(metric)),
    )


def _weigh(metric: str, margin: float, control: Tally, arm: Tally, least: int) -> float:
    if metric == ERRORS:
        return rate_evidence(control, arm, margin)
    if min(control.size, arm.size) < least:
        return 0.0
    if metric in LOGARITHMIC:
        return mean_evidence(control, arm, math.log1p(margin), _scale(metric))
    return mean_evidence(_negative(control), _negative(arm), margin, _scale(metric))  # less of a score is worse


def _soften(metric: str, tally: Tally) -> Tally:
    """No error so far is no certainty: as if half of one had been seen."""
    if metric != ERRORS or not tally.size:
        return tally
    return Tally(tally.size + 1, tally.total + PRIOR, tally.squares + PRIOR)


def _scale(metric: str) -> float:
    return RATE_SCALE if metric == ERRORS else SCALES.get(metric, SCORE_SCALE)


def _negative(tally: Tally) -> Tally:
    return Tally(tally.size, -tally.total, tally.squares)


def _to_value(logarithm: float) -> float:
    return math.exp(min(logarithm, LARGEST))
