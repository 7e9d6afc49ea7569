"""Replays stored calls under another routing policy, with the gateway's own code and what was known at that time."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from spanwell.conventions import CALLS, ROUTE_PROBABILITY, ROUTE_STRATEGY, TIER
from spanwell_proxy.failures import ApiError
from spanwell_proxy.routing.asked import BYTES_A_TOKEN, Asked
from spanwell_proxy.routing.choosing import foresee
from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.routing.policy import Policy
from spanwell_proxy.whatif.estimating import (
    Estimate,
    Log,
    count_effective,
    estimate_logged,
    estimate_robustly,
    estimate_weighted,
    find_weights,
)

Row = Mapping[str, Any]
UNCHOSEN: Final = ("", "last-resort")
COST, LATENCY, ERRORS = "cost_usd", "duration_ms", "errors"


@dataclass(frozen=True, slots=True)
class Routed:
    """A stored call, as far as routing and its outcome go. Times in seconds."""

    trace_id: str
    at: float
    model: str
    deployment: str
    probability: float
    input_tokens: int
    output_tokens: int
    stream: bool
    tier: str
    tags: frozenset[str]
    unit: str
    duration_s: float
    ttft_s: float | None
    cost_usd: float | None
    failed: bool
    asked: str  # its messages of {role, parts}; empty where texts are not kept


class Compared(NamedTuple):
    """One outcome: what was, and what would have been by either estimate."""

    outcome: str
    calls: int
    was: Estimate
    weighted: Estimate | None
    robust: Estimate | None


class Replayed(NamedTuple):
    """`effective`: how many calls the estimates are worth; `unheard`: the share that would go where nothing went."""

    calls: int
    effective: float
    unheard: float
    shares: Mapping[str, float]  # of the deployments, under the policy
    was: Mapping[str, float]
    compared: tuple[Compared, ...]


def read_routed(spans: Sequence[Row], texts: Mapping[tuple[str, str], str]) -> list[Routed]:
    """Calls whose deployment was chosen with a known probability, at the first attempt, oldest first."""
    routed = [_read(row, texts.get((row["trace_id"], row["span_id"]), "")) for row in spans if _is_known(row)]
    return sorted(routed, key=lambda call: call.at)


def replay_route(
    calls: Sequence[Routed], group: Sequence[Candidate], policy: Policy, scores: Mapping[str, float]
) -> Replayed | None:
    """What `policy` would have done with these calls; None where none of them went to the group's deployments.

    `scores` are by trace: another outcome, of the calls that have one.
    """
    columns = {one.deployment.id: index for index, one in enumerate(group)}
    wanted = _foresee_all(calls, group, policy, columns)
    kept = [(call, row) for call, row in zip(calls, wanted, strict=True) if row is not None]
    if not kept:
        return None
    known, rows = [call for call, _ in kept], np.array([row for _, row in kept])
    taken = np.array([columns[call.deployment] for call in known])
    used = np.bincount(taken, minlength=len(group)) / len(known)
    outcomes: dict[str, Callable[[Routed], float | None]] = {
        COST: lambda call: call.cost_usd,
        LATENCY: lambda call: None if call.failed else call.duration_s * 1000,
        ERRORS: lambda call: float(call.failed),
    }
    if scores:
        outcomes["score"] = lambda call: scores.get(call.trace_id)
    compared = [_compare(name, find, known, rows, taken) for name, find in outcomes.items()]
    whole = _to_log(known, rows, taken, [0.0] * len(known))
    return Replayed(
        calls=len(known),
        effective=count_effective(find_weights(whole)),
        unheard=float(rows[:, used == 0].sum() / len(known)),
        shares=dict(zip(columns, map(float, rows.mean(axis=0)), strict=True)),
        was=dict(zip(columns, map(float, used), strict=True)),
        compared=tuple(one for one in compared if one),
    )


def _compare(
    name: str, find: Callable[[Routed], float | None], calls: Sequence[Routed], rows: Any, taken: Any
) -> Compared | None:
    found = [(index, value) for index, call in enumerate(calls) if (value := find(call)) is not None]
    if len(found) < 2:
        return None
    kept = [index for index, _ in found]
    log = _to_log([calls[index] for index in kept], rows[kept], taken[kept], [value for _, value in found])
    return Compared(name, len(found), estimate_logged(log), estimate_weighted(log), estimate_robustly(log))


def _to_log(calls: Sequence[Routed], rows: Any, taken: Any, outcome: Sequence[float]) -> Log:
    return Log(
        taken=taken,
        probability=np.array([call.probability for call in calls]),
        wanted=rows,
        outcome=np.array(outcome, dtype=float),
        features=np.array([[call.input_tokens, float(call.stream)] for call in calls]),
        units=[call.unit for call in calls],
    )


def _foresee_all(
    calls: Sequence[Routed], group: Sequence[Candidate], policy: Policy, columns: Mapping[str, int]
) -> list[list[float] | None]:
    """The policy's probabilities for each call, by what had ended and what ran when it came."""
    facts = {one.deployment.id: one.facts for one in group}
    running: list[tuple[float, int, Routed]] = []
    wanted: list[list[float] | None] = []
    for number, call in enumerate(calls):
        while running and running[0][0] <= call.at:
            ended_at, _, ended = heapq.heappop(running)
            told = facts[ended.deployment]
            elapsed_s = ended.ttft_s if ended.stream and ended.ttft_s is not None else ended.duration_s
            told.end(ended_at, elapsed_s, stream=ended.stream, failed=ended.failed)
            told.note_usage(ended_at, ended.input_tokens, ended.output_tokens)
        if call.deployment not in columns:
            wanted.append(None)
            continue
        wanted.append(_foresee(call, group, policy))
        facts[call.deployment].begin()
        heapq.heappush(running, (call.at + call.duration_s, number, call))
    return wanted


def _foresee(call: Routed, group: Sequence[Candidate], policy: Policy) -> list[float] | None:
    request = {"messages": _to_messages(call.asked), "stream": call.stream}
    asked = Asked(request, call.input_tokens * BYTES_A_TOKEN, tier=call.tier, tags=call.tags)
    try:
        shares = foresee(group, asked, policy, call.at)
    except ApiError:  # the policy would have refused it
        return None
    return [shares[one.deployment.id] for one in group]


def _to_messages(asked: str) -> list[dict[str, str]]:
    try:
        messages = orjson.loads(asked) if asked else []
    except ValueError:
        return []
    return [_to_message(one) for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []


def _to_message(message: Mapping[str, Any]) -> dict[str, str]:
    parts = message.get("parts")
    texts = [part.get("content") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return {"role": str(message.get("role", "")), "content": "\n".join(one for one in texts if isinstance(one, str))}


def _is_known(row: Row) -> bool:
    told = row["attributes"]
    return (
        row["operation"] in CALLS
        and not (row["purpose"] or row["duplicate_of"] or row["cache"] == "hit")
        and row["attempts"] == 1
        and told.get(ROUTE_STRATEGY, "") not in UNCHOSEN
        and float(told.get(ROUTE_PROBABILITY) or 0) > 0
    )


def _read(row: Row, asked: str) -> Routed:
    cost, ttft, told = row["cost_usd"], row["ttft_ms"], row["attributes"]
    return Routed(
        trace_id=row["trace_id"],
        at=datetime.fromisoformat(row["ts"]).replace(tzinfo=UTC).timestamp(),
        model=row["request_model"],
        deployment=row["deployment"],
        probability=float(told[ROUTE_PROBABILITY]),
        input_tokens=int(row["input_tokens"]),
        output_tokens=int(row["output_tokens"]),
        stream=bool(row["stream"]),
        tier=told.get(TIER, ""),
        tags=frozenset(row["tags"]),
        unit=row["user_id"] or row["session_id"] or row["trace_id"],
        duration_s=float(row["duration_ms"]) / 1000,
        ttft_s=None if ttft is None else float(ttft) / 1000,
        cost_usd=None if cost is None else float(cost),
        failed=row["status"] == "error",
        asked=asked,
    )
