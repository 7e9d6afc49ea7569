"""Calls to price, through the engine's own views."""

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from spanwell.pricing import Usage
from spanwell_collector.store.client import Store
from tests.collector.batches import SpanIn, Value, make_batch

NAMES = {
    "input": "gen_ai.usage.input_tokens",
    "output": "gen_ai.usage.output_tokens",
    "cached": "gen_ai.usage.cache_read.input_tokens",
    "cache_write": "gen_ai.usage.cache_write.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
    "cache_write_1h": "spanwell.usage.cache_write_1h.input_tokens",
    "audio_input": "gen_ai.usage.audio.input_tokens",
    "audio_output": "gen_ai.usage.audio.output_tokens",
    "image_input": "gen_ai.usage.image.input_tokens",
    "image_output": "gen_ai.usage.image.output_tokens",
}


def call(provider: str, model: str, usage: Usage, **others: Value) -> dict[str, Value]:
    """Attributes of a call; `others` are names with dots written as two underscores."""
    tokens = {NAMES[kind]: count for kind, count in asdict(usage).items() if count}
    named = {name.replace("__", "."): value for name, value in others.items()}
    base: dict[str, Value] = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider}
    return {**base, "gen_ai.response.model": model, **tokens, **named}


def insert(store: Store, project: str, *calls: Mapping[str, Value], ago_s: float = 100.0) -> None:
    """Store one span a call, numbered from 1."""
    spans = [SpanIn(trace=index, ago_s=ago_s, attributes=one) for index, one in enumerate(calls, 1)]
    body = make_batch(spans, {"spanwell.project": project}).SerializeToString()
    store.insert_otlp([body], project=project, token=f"{project}-{ago_s}", dialects=True)


def read(store: Store, project: str) -> list[dict[str, Any]]:
    """The calls' costs, in order."""
    rows = store.query(
        "SELECT cost_usd, costs, cost_source, first_cost_usd, price_version FROM spanwell.spans"
        " WHERE project = {project:String} ORDER BY trace_id",
        {"project": project},
    ).to_pylist()
    return [{**row, "costs": dict(row["costs"])} for row in rows]


def price_in_sql(
    store: Store, provider: str, model: str, usage: Usage, *, tier: str, at: str, request_model: str = ""
) -> Decimal | None:
    """What the engine's function says; `at` is written as 2026-11-04 12:00:00."""
    tokens = asdict(usage)
    sql = (
        "SELECT spanwell_cost({provider:String}, {model:String}, {request_model:String},"
        " toDateTime64({at:String}, 6, 'UTC'), {tier:String},"
        " CAST(({kinds:Array(String)}, {counts:Array(UInt64)}) AS Map(String, UInt64))).1 AS usd"
    )
    asked: dict[str, Any] = {"provider": provider, "model": model, "request_model": request_model}
    asked |= {"tier": tier, "at": at}
    asked |= {"kinds": list(tokens), "counts": list(tokens.values())}
    found: Decimal | None = store.query(sql, asked).column("usd").to_pylist()[0]
    return found
