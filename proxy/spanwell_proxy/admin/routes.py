"""How calls are shared: the policies, what is known of each deployment, and why a request would go where."""

import math
import time
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from spanwell_proxy.admin.acting import read_actor
from spanwell_proxy.failures import ApiError, bad_request
from spanwell_proxy.gateway import Gateway
from spanwell_proxy.routing.asked import Asked
from spanwell_proxy.routing.choosing import foresee
from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.routing.narrowing import find_level
from spanwell_proxy.routing.policy import Policy
from spanwell_proxy.routing.strategies import expected_usd

router = APIRouter(prefix="/admin/routes", dependencies=[Depends(read_actor)])
Word = Annotated[str, Field(max_length=256)]


class QuestionIn(BaseModel):
    """A request as a client would send it, and what its headers would say."""

    model_config = ConfigDict(extra="forbid")

    request: dict[str, Any]
    model: Word = ""
    tier: Word = ""
    tags: Annotated[list[Word], Field(max_length=32)] = []


def find_gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


@router.get("")
async def list_routes(request: Request) -> dict[str, Any]:
    """Every model name of the file, its policy, and its deployments as this worker knows them."""
    gateway, now = find_gateway(request), time.monotonic()
    names = sorted({*gateway.routes.deployments, *gateway.unions})
    return {"routes": [_show_route(name, gateway, now) for name in names]}


@router.post("/explain")
async def explain(question: QuestionIn, request: Request) -> dict[str, Any]:
    """Where the request would go now, and why. It goes nowhere."""
    gateway, now = find_gateway(request), time.monotonic()
    name = question.model or str(question.request.get("model", ""))
    group, policy = gateway.find_group(name), gateway.find_policy(name)
    if not group:
        raise ApiError(404, "model_not_found", f"the model {name!r} does not exist", param="model")
    size, most = _measure(question.request), question.request.get("max_tokens")
    asked = Asked(
        question.request,
        size,
        most_output=most if isinstance(most, int) else None,
        tier=question.tier,
        tags=frozenset(question.tags),
    )
    shares = foresee(group, asked, policy, now)
    return {
        "model": name,
        "policy": _show_policy(policy),
        "input_tokens": asked.input_tokens,
        "complexity": _show_complexity(asked, policy),
        "deployments": [
            {
                "id": one.deployment.id,
                "model": one.deployment.model_name,
                "probability": _number(shares[one.deployment.id]),
                "expected_usd": _number(expected_usd(one, asked, policy)),
                "ready": one.facts.is_ready(now),
            }
            for one in group
        ],
    }


def _measure(asked: dict[str, Any]) -> int:
    """Bytes that the request would have. Raises ApiError 400 for what a call could not be."""
    try:
        return len(orjson.dumps(asked))
    except TypeError as error:
        raise bad_request(f"the request is no JSON that a backend could read: {error}", "request") from error


def _show_route(name: str, gateway: Gateway, now: float) -> dict[str, Any]:
    return {
        "model": name,
        "policy": _show_policy(gateway.find_policy(name)),
        "deployments": [_show_candidate(one, now) for one in gateway.find_group(name)],
    }


def _show_policy(policy: Policy) -> dict[str, Any]:
    shown: dict[str, Any] = {"strategy": policy.strategy, "explore": policy.explore}
    if policy.models:
        shown["models"] = list(policy.models)
    if policy.by_tags:
        shown["tags"] = "all" if policy.all_tags else "any"
    if policy.tiers:
        shown["tiers"] = {tier: sorted(names) for tier, names in policy.tiers.items()}
    if policy.levels:
        shown["levels"] = [{"up_to": most, "models": sorted(names)} for most, names in policy.levels]
    if policy.budget_usd < math.inf:
        shown["budget_usd"] = policy.budget_usd
    return shown


def _show_candidate(candidate: Candidate, now: float) -> dict[str, Any]:
    deployment, facts, traits = candidate
    return {
        "id": deployment.id,
        "model": deployment.model_name,
        "weight": deployment.weight,
        "tags": sorted(traits.tags),
        "ready": facts.is_ready(now),
        "drained": facts.is_drained,
        "in_flight": facts.in_flight,
        "ttft_s": _number(facts.first_s),
        "latency_s": _number(facts.whole_s),
        "error_rate": _number(facts.error_rate),
        "waiting": facts.waiting,
        "running": facts.running,
        "cache_use": facts.cache_use,
        "quality": facts.quality,
        "output_tokens": _number(facts.output_tokens),
        "tokens_a_minute": _number(facts.spent_tokens(now)),
    }


def _show_complexity(asked: Asked, policy: Policy) -> dict[str, Any]:
    complexity = asked.complexity(policy.scale)
    return {
        "score": complexity.score,
        "features": [one._asdict() for one in complexity.features],
        "models": sorted(find_level(complexity.score, policy)) if policy.levels else None,
    }


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
