"""Deployments with what is known of them, for the tests of routing."""

from datetime import UTC, datetime
from typing import Any

from spanwell.config import Config
from spanwell.pricing import PriceTable
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.routing.facts import Candidate, Facts, watch

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


def candidates(*params: dict[str, Any]) -> tuple[Candidate, ...]:
    """fox-0, fox-1 and so on: one of each mapping of `litellm_params`."""
    given = {"model": "hosted_vllm/tiny", "api_base": "http://gpu/v1"}
    models = [{"model_name": "fox", "litellm_params": given | each} for each in params]
    deployments = read_routes(Config(model_list=models), PriceTable()).deployments["fox"]
    return tuple(watch(deployment, Facts(), NOW) for deployment in deployments)


def weighted(*weights: float) -> tuple[Candidate, ...]:
    return candidates(*({"weight": weight} for weight in weights))
