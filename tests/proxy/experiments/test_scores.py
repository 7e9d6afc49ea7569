"""What was judged, as routing and guardrails use it, and how it is read from a collector."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from spanwell_proxy.experiments.scores import find_mean, shrink_means, tally_scores
from spanwell_proxy.routing.evidence import Tally
from spanwell_proxy.routing.experiments import Arm, Experiment
from tests.proxy.backend import Backend, served
from tests.proxy.gateway import config, deployment, running_proxy
from tests.proxy.routing.candidates import candidates

TRIAL = Experiment("trial", "fox", (Arm("old"), Arm("new")))


def span(trace: str, arm: str, user: str = "") -> dict[str, Any]:
    attributes = {"spanwell.experiment": "trial", "spanwell.experiment.arm": arm}
    return {"trace_id": trace, "user_id": user, "key_id": "", "session_id": "", "purpose": "", "attributes": attributes}


def score(trace: str, value: float, name: str = "helpful") -> dict[str, Any]:
    return {"trace_id": trace, "name": name, "value": value}


def summary(model: str, count: int, mean: float, name: str = "helpful") -> dict[str, Any]:
    return {"name": name, "model": model, "scores": count, "mean": mean}


def test_a_user_counts_once_with_the_mean_of_its_scores() -> None:
    spans = [span("1", "new", "mia"), span("2", "new", "mia"), span("3", "new"), span("4", "old", "tom")]
    scores = [score("1", 1.0), score("2", 0.0), score("3", 1.0), score("4", 0.25), score("9", 0.0)]

    counts = tally_scores(spans, scores, TRIAL)

    assert counts == {("new", "score:helpful"): Tally(2, 1.5, 1.25), ("old", "score:helpful"): Tally(1, 0.25, 0.0625)}


def test_few_judgements_are_drawn_towards_the_mean_of_all() -> None:
    means = shrink_means([summary("a", 990, 0.5), summary("b", 10, 1.0), summary("b", 5, 0.0, "brief")], "helpful")

    assert means == {"a": pytest.approx(0.5, abs=0.001), "b": pytest.approx(0.7525)}


def test_a_model_is_known_by_the_name_it_gives_itself() -> None:
    (one,) = candidates({"model": "openai/gpt-4o", "api_base": None, "api_key": "k"})

    assert find_mean({"gpt-4o-2024-08-06": 0.7, "gpt-4": 0.1}, one) == 0.7
    assert find_mean({"other": 0.7}, one) is None


@pytest.fixture
async def collector() -> AsyncIterator[int]:
    """One that has judged the model `large` well."""

    async def summarize(request: web.Request) -> web.Response:
        assert request.query.getall("by") == ["name", "model"]
        return web.json_response({"rows": [summary("large", 500, 0.9), summary("small", 500, 0.6)]})

    async def export(request: web.Request) -> web.Response:
        assert request.query["attribute.spanwell.experiment"] == "trial"
        arms = [("new", 0.0), ("old", 1.0)] * 100
        rows = {
            "spans": [span(str(number), arm) for number, (arm, _) in enumerate(arms)],
            "scores": [score(str(number), value) for number, (_, value) in enumerate(arms)],
        }
        return web.Response(text="\n".join(map(json.dumps, rows[request.query["what"]])))

    app = web.Application()
    app.router.add_get("/api/v1/scores/summary", summarize)
    app.router.add_get("/api/v1/export", export)
    async with served(app) as port:
        yield port


async def test_the_best_judged_is_chosen(collector: int, backend: Backend, tmp_path: Path) -> None:
    models = [deployment(backend.url, model=f"hosted_vllm/{name}") for name in ("small", "large")]
    document = config(*models, routing={"default": {"strategy": "best-quality"}})
    async with running_proxy(tmp_path, document, collector) as proxy:
        for _ in range(100):
            (route,) = (await proxy.get("/admin/routes")).json()["routes"]
            if route["deployments"][0]["quality"]:
                break
            await asyncio.sleep(0.05)
        for _ in range(5):
            await proxy.post()

    assert {request["model"] for request in backend.requests} == {"large"}
    assert [one["quality"] for one in route["deployments"]] == pytest.approx([0.603, 0.897], abs=0.001)


async def test_an_arm_that_is_judged_worse_is_rolled_back(collector: int, backend: Backend, tmp_path: Path) -> None:
    trial = {"model": "fox", "control": "old", "arms": {"old": {}, "new": {}}, "guardrails": ["score:helpful"]}
    routing = {"experiments": {"trial": trial}, "quality": {"every_seconds": 1}}
    async with running_proxy(tmp_path, config(deployment(backend.url), routing=routing), collector) as proxy:
        for _ in range(100):
            shown = (await proxy.get("/admin/experiments/trial")).json()
            if shown["status"] == "rolled-back":
                break
            await asyncio.sleep(0.05)

    assert (shown["status"], shown["arm"]) == ("rolled-back", "old")
    assert "new is worse in score:helpful" in shown["reason"]
