"""What answers were judged, read from the collector now and then: by model for routing, by arm for guardrails.

Off the path of calls: while the collector is away, what was read last holds.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

import aiohttp
import orjson

from spanwell.conventions import EXPERIMENT, EXPERIMENT_ARM
from spanwell_proxy.config.routes import Routes
from spanwell_proxy.experiments.store import Counts, StoreAwayError
from spanwell_proxy.experiments.trials import Trials
from spanwell_proxy.routing.evidence import Tally
from spanwell_proxy.routing.experiments import Experiment
from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.routing.guardrails import SCORE
from spanwell_proxy.routing.settings import RoutingSettings

logger = logging.getLogger(__name__)

FEW: Final = 10.0  # judgements that a model's mean is worth as much as the mean of all
LONGEST: Final = timedelta(days=30)
TIMEOUT: Final = aiohttp.ClientTimeout(total=60)
UNIT_COLUMNS: Final = {
    "user": ("user_id", "key_id"),
    "session": ("session_id", "user_id", "key_id"),
    "key": ("key_id",),
}
SCORE_FIELDS: Final = ("trace_id", "name", "value")
SPAN_FIELDS: Final = ("trace_id", "purpose", "user_id", "session_id", "key_id", "attributes")
Row = Mapping[str, Any]


class Judged(Protocol):
    """What of the gateway is told."""

    @property
    def trials(self) -> Trials: ...

    @property
    def routes(self) -> Routes: ...

    @property
    def unions(self) -> Mapping[str, Sequence[str]]: ...

    @property
    def find_group(self) -> Callable[[str], tuple[Candidate, ...]]: ...


class Source(NamedTuple):
    """The collector's query API, and whose spans to ask for."""

    url: str
    token: str
    project: str


async def read_scores(source: Source, find: Callable[[], tuple[Judged, RoutingSettings]], worker: int) -> None:
    """Until cancelled. Of arms one worker tells the others."""
    headers, trouble = {"authorization": f"Bearer {source.token}"} if source.token else {}, ""
    async with aiohttp.ClientSession(headers=headers, timeout=TIMEOUT) as session:
        while True:
            gateway, settings = find()
            try:
                if settings.judges_quality:
                    await _read_quality(session, source, gateway, settings)
                for experiment in settings.experiments.values() if worker == 0 else ():
                    if any(one.metric.startswith(SCORE) for one in experiment.guardrails):
                        await _read_arms(session, source, gateway.trials, experiment)
                trouble = ""
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError, StoreAwayError) as error:
                if not trouble:
                    logger.warning("scores cannot be read now, the last ones hold: %s: %s", type(error).__name__, error)
                trouble = str(error) or "?"
            await asyncio.sleep(settings.quality.every_s)


def shrink_means(rows: Iterable[Row], score: str) -> dict[str, float]:
    """The mean of each model that answered, drawn towards that of all while there are few judgements."""
    sums: dict[str, tuple[float, float]] = {}
    for row in rows:
        if row["model"] and row["mean"] is not None and score in ("", row["name"]):
            size, total = sums.get(row["model"], (0.0, 0.0))
            sums[row["model"]] = (size + row["scores"], total + row["scores"] * row["mean"])
    seen = sum(size for size, _ in sums.values())
    if not seen:
        return {}
    middle = sum(total for _, total in sums.values()) / seen
    return {model: (total + FEW * middle) / (size + FEW) for model, (size, total) in sums.items()}


def find_mean(means: Mapping[str, float], candidate: Candidate) -> float | None:
    """Of a deployment: by the model it asks for, or by what such a model calls itself (gpt-4o-2024-08-06)."""
    model = candidate.deployment.model
    if model in means:
        return means[model]
    return next((mean for name, mean in means.items() if name.startswith(model + "-")), None)


def tally_scores(spans: Iterable[Row], scores: Iterable[Row], experiment: Experiment) -> Counts:
    """One observation a unit: the mean of what its answers were judged. Calls of nobody count one by one."""
    columns = UNIT_COLUMNS.get(experiment.stick, ())
    owners: dict[str, tuple[str, str]] = {}
    for span in spans:
        arm = span["attributes"].get(EXPERIMENT_ARM, "")
        if arm and not span["purpose"]:
            unit = next((span[name] for name in columns if span[name]), span["trace_id"])
            owners.setdefault(span["trace_id"], (arm, unit))
    values: dict[tuple[str, str, str], list[float]] = {}
    for score in scores:
        if owner := owners.get(score["trace_id"]):
            values.setdefault((*owner, SCORE + score["name"]), []).append(float(score["value"]))
    counts: dict[tuple[str, str], Tally] = {}
    for (arm, _, metric), given in values.items():
        counts[(arm, metric)] = counts.get((arm, metric), Tally()).plus(sum(given) / len(given))
    return counts


async def _read_quality(
    session: aiohttp.ClientSession, source: Source, gateway: Judged, settings: RoutingSettings
) -> None:
    start = datetime.now(UTC) - timedelta(days=settings.quality.days)
    asked = [("by", "name"), ("by", "model"), ("project", source.project), ("start", start.isoformat())]
    answer = await _get(session, source.url + "/api/v1/scores/summary", asked)
    means = shrink_means(orjson.loads(answer)["rows"], settings.quality.score)
    for name in (*gateway.routes.deployments, *gateway.unions):
        for candidate in gateway.find_group(name):
            candidate.facts.quality = find_mean(means, candidate)


async def _read_arms(session: aiohttp.ClientSession, source: Source, trials: Trials, experiment: Experiment) -> None:
    trial, since = trials.name_trial(experiment), trials.find_state(experiment).at or time.time()
    start = max(datetime.fromtimestamp(since, UTC), datetime.now(UTC) - LONGEST)
    asked = [("project", source.project), ("start", start.isoformat()), ("format", "jsonl")]
    asked.append((f"attribute.{EXPERIMENT}", experiment.name))
    url = source.url + "/api/v1/export"
    # Few calls are judged: of the many others nothing is kept.
    scores = [score async for score in _read_rows(session, url, [*asked, ("what", "scores")], SCORE_FIELDS)]
    judged = {score["trace_id"] for score in scores}
    rows = _read_rows(session, url, [*asked, ("what", "spans")], SPAN_FIELDS)
    spans = [span async for span in rows if span["trace_id"] in judged]
    await trials.store.replace(trial, tally_scores(spans, scores, experiment))


async def _read_rows(
    session: aiohttp.ClientSession, url: str, asked: Sequence[tuple[str, str]], fields: Sequence[str]
) -> AsyncIterator[Row]:
    """Of an export of any size, a row at a time."""
    rest = b""
    async with session.get(url, params=asked) as answer:
        answer.raise_for_status()
        async for data in answer.content.iter_any():
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield _pick(line, fields)
    if rest.strip():
        yield _pick(rest, fields)


def _pick(line: bytes, fields: Sequence[str]) -> Row:
    row = orjson.loads(line)
    return {name: row[name] for name in fields}


async def _get(session: aiohttp.ClientSession, url: str, asked: Sequence[tuple[str, str]]) -> bytes:
    async with session.get(url, params=asked) as answer:
        answer.raise_for_status()
        return await answer.read()
