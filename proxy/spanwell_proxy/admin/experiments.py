"""Experiments while they run: what is seen of their arms; promote, roll back, pin and resume by one call."""

import math
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from spanwell_proxy.access.directory import Directory
from spanwell_proxy.admin.acting import Admin, read_actor
from spanwell_proxy.caller import Caller
from spanwell_proxy.experiments.store import StoreAwayError
from spanwell_proxy.experiments.trials import Trials
from spanwell_proxy.failures import ApiError
from spanwell_proxy.routing.evidence import Interval, Tally
from spanwell_proxy.routing.experiments import Arm, Experiment, Status
from spanwell_proxy.routing.guardrails import ASSIGNED, LOGARITHMIC, Finding

router = APIRouter(prefix="/admin/experiments", dependencies=[Depends(read_actor)])


class DecisionIn(BaseModel):
    """Which arm, where there is a choice, and why."""

    model_config = ConfigDict(extra="forbid")

    arm: Annotated[str, Field(max_length=256)] = ""
    reason: Annotated[str, Field(max_length=1000)] = ""


def find_trials(request: Request) -> Trials:
    trials: Trials = request.app.state.gateway.trials
    return trials


@router.get("")
async def list_experiments(request: Request) -> dict[str, Any]:
    trials = find_trials(request)
    return {"experiments": [_show(one, trials) for one in sorted(trials.experiments.values(), key=lambda e: e.name)]}


@router.get("/{name}")
async def show_experiment(name: str, request: Request) -> dict[str, Any]:
    trials = find_trials(request)
    return _show(_find(name, trials), trials)


@router.post("/{name}/promote")
async def promote(name: str, actor: Admin, request: Request, wanted: DecisionIn | None = None) -> dict[str, Any]:
    """All calls go to the arm; with two arms that is the one that is not the control."""
    experiment = _find(name, find_trials(request))
    others = [arm.name for arm in experiment.arms[1:]]
    arm = (wanted.arm if wanted else "") or (others[0] if len(others) == 1 else "")
    return await _decide(experiment, "promoted", arm, actor, request, wanted)


@router.post("/{name}/rollback")
async def roll_back(name: str, actor: Admin, request: Request, wanted: DecisionIn | None = None) -> dict[str, Any]:
    """All calls go to the control."""
    experiment = _find(name, find_trials(request))
    return await _decide(experiment, "rolled-back", experiment.arms[0].name, actor, request, wanted)


@router.post("/{name}/pin")
async def pin(name: str, actor: Admin, request: Request, wanted: DecisionIn) -> dict[str, Any]:
    """All calls go to the arm until it is resumed; nothing is concluded."""
    return await _decide(_find(name, find_trials(request)), "pinned", wanted.arm, actor, request, wanted)


@router.post("/{name}/resume")
async def resume(name: str, actor: Admin, request: Request, wanted: DecisionIn | None = None) -> dict[str, Any]:
    """Calls are shared among the arms again, and counted anew."""
    return await _decide(_find(name, find_trials(request)), "running", "", actor, request, wanted)


async def _decide(
    experiment: Experiment, status: Status, arm: str, actor: Caller, request: Request, wanted: DecisionIn | None
) -> dict[str, Any]:
    trials = find_trials(request)
    if status != "running" and experiment.find(arm) is None:
        names = ", ".join(one.name for one in experiment.arms)
        raise ApiError(400, "unknown_arm", f"arm: {arm!r} is none of {experiment.name}: {names}", param="arm")
    by, known = actor.user or actor.key_id or "operator", trials.find_state(experiment)
    try:
        state = await trials.decide(experiment, status, arm, by=by, reason=wanted.reason if wanted else "")
    except StoreAwayError as error:
        raise ApiError(503, "state_unavailable", str(error)) from error
    books: Directory = request.app.state.gateway.directory
    await books.note(actor, state.status, "experiment", experiment.name, known._asdict(), state._asdict())
    return _show(experiment, trials)


def _find(name: str, trials: Trials) -> Experiment:
    found = next((one for one in trials.experiments.values() if one.name == name), None)
    if found is None:
        raise ApiError(404, "experiment_not_found", f"there is no experiment {name!r}")
    return found


def _show(experiment: Experiment, trials: Trials) -> dict[str, Any]:
    state, verdict = trials.find_state(experiment), trials.judge(experiment)
    counts = trials.counts.get(trials.name_trial(experiment), {})
    return {
        "name": experiment.name,
        "model": experiment.model,
        "stick": experiment.stick,
        "alpha": experiment.alpha,
        "status": state.status,
        "arm": state.arm,
        "reason": state.reason,
        "by": state.by,
        "at": state.at or None,
        "run": state.run,
        "arms": [_show_arm(arm, experiment, counts) for arm in experiment.arms],
        "guardrails": [_show_finding(one) for one in verdict.findings],
        "sample_ratio": {"evidence": _number(verdict.mismatch), "ok": not verdict.is_mismatched},
    }


def _show_arm(arm: Arm, experiment: Experiment, counts: Any) -> dict[str, Any]:
    total = sum(one.weight for one in experiment.live)
    return {
        "name": arm.name,
        "share": arm.weight / total if not arm.shadow else 0.0,
        "shadow": arm.shadow,
        "model": arm.model or experiment.model,
        "deployment": arm.deployment,
        "params": dict(arm.params),
        "prompt": {"name": arm.prompt.name, "version": arm.prompt.version} if arm.prompt else None,
        "counted": counts.get((arm.name, ASSIGNED), Tally()).size,
        "means": {
            metric: _number(math.exp(tally.mean) if metric in LOGARITHMIC else tally.mean)
            for (name, metric), tally in sorted(counts.items())
            if name == arm.name and metric != ASSIGNED
        },
    }


def _show_finding(finding: Finding) -> dict[str, Any]:
    return {
        "arm": finding.arm,
        "metric": finding.metric,
        "margin": finding.margin,
        "control": finding.control.size,
        "observed": finding.observed.size,
        "difference": _show_interval(finding.interval, finding.metric in LOGARITHMIC),
        "evidence": _number(finding.evidence),
        "limit": finding.limit,
        "broken": finding.is_broken,
    }


def _show_interval(interval: Interval | None, is_share: bool) -> dict[str, float] | None:
    """As shares of the control's for what is compared so."""
    if interval is None:
        return None
    return {
        name: _number(math.expm1(min(value, 700.0)) if is_share else value)
        for name, value in interval._asdict().items()
    }


def _number(value: float) -> float:
    return float(f"{value:.6g}")
