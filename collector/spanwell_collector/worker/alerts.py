"""When does an alert fire, and when does it resolve? One pure function over observations; no clock, no I/O."""

import hashlib
import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from spanwell_collector.worker.sections import Rule

Phase = Literal["ok", "pending", "firing"]
Outcome = Literal["firing", "resolved"]

COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True)
class State:
    """Where one alert stands. `since`: when it became pending, or began to fire; None while ok."""

    phase: Phase = "ok"
    since: datetime | None = None


OK = State()


@dataclass(frozen=True)
class Observation:
    """What a rule saw of one group in its window; `value` is None where there is none."""

    value: float | None
    requests: int


@dataclass(frozen=True)
class Transition:
    """A change that people are told about. `started` is when the alert began to fire."""

    outcome: Outcome
    started: datetime
    at: datetime
    value: float


def step(state: State, observation: Observation, rule: Rule, now: datetime) -> tuple[State, Transition | None]:
    """The state after one observation. No data, or fewer than `min_requests`, changes nothing: it never resolves."""
    value = observation.value
    if value is None or observation.requests < rule.min_requests:
        return state, None
    breached = COMPARE[rule.op](value, rule.threshold)
    if state.phase == "firing" and state.since is not None:
        limit = rule.threshold if rule.recover is None else rule.recover
        if COMPARE[rule.op](value, limit):
            return state, None
        return OK, Transition("resolved", started=state.since, at=now, value=value)
    if not breached:
        return OK, None
    pending = state if state.phase == "pending" and state.since is not None else State("pending", since=now)
    if pending.since is not None and (now - pending.since).total_seconds() < rule.for_seconds:
        return pending, None
    return replace(pending, phase="firing", since=now), Transition("firing", started=now, at=now, value=value)


def labels_of(rule: Rule, group: str | None) -> dict[str, str]:
    """What an alert is about: its rule, the filters that name one value, and the group."""
    labels = {"alertname": rule.name, "severity": rule.severity}
    labels |= {name: values[0] for name, values in rule.filters.items() if len(values) == 1}
    if group is not None:
        labels[rule.by or "segment"] = group
    return labels


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """16 hex digits that stay the same for the same labels; severity may change without making a new alert."""
    identity = sorted((key, value) for key, value in labels.items() if key != "severity")
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
