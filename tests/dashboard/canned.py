"""A collector's query API with made-up rows: an HTTP server on a free port, in a thread of its own.

The rows are shaped like the real ones and drawn from a fixed seed. Names and texts include hostile ones.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MODELS: Final = ("llama-3.3-70b", "qwen3-32b", "gpt-5-mini", "claude-haiku-4.5", "mistral-small")
APPS: Final = ("support-bot", "doc-search", "code-review", "batch-etl")
TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
BIG_TRACE_ID: Final = "b1690000000000000000000000000000"
TANGLED_TRACE_ID: Final = "7a491ed0000000000000000000000000"
LLM_SPAN_ID: Final = "0000000000000005"
METRIC_SCALES: Final = {"p50_ms": 640.0, "p95_ms": 1780.0, "p99_ms": 3920.0, "ttft_p50_ms": 182.0, "ttft_p95_ms": 540.0}


@dataclass
class Canned:
    """What the server answers; tests change it while it runs."""

    url: str = ""
    empty: bool = False
    refuse_status: int = 0
    hostile: str = "![x](http://127.0.0.1:9/leak.png) <img src=x onerror=alert(1)>"
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def questions(self, path: str) -> list[str]:
        """Query strings that were asked of an endpoint, oldest first."""
        return [query for asked, query in self.asked if asked == path]


@contextmanager
def serving(canned: Canned) -> Iterator[Canned]:
    """Serve `canned` on a free port until the block ends."""
    app = Starlette(routes=[Route("/{path:path}", lambda request: _answer(canned, request))])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    canned.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield canned
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def _answer(canned: Canned, request: Request) -> Response:
    path = request.path_params["path"].removeprefix("api/v1/")
    canned.asked.append((path, request.url.query))
    if path == "health":
        return JSONResponse({"status": "ok", "engine": "chdb 4.4.0", "spool_bytes": 0})
    if canned.refuse_status:
        error = {"message": "no such metric", "field": "metric", "allowed": ["requests", "cost_usd"]}
        return JSONResponse({"error": error}, status_code=canned.refuse_status)
    if unknown := set(request.query_params) - _allowed(path):
        error = {"message": "Extra inputs are not permitted", "field": min(unknown)}
        return JSONResponse({"error": error}, status_code=400)
    found = rows(canned, path, request)
    if found is None:
        return JSONResponse({"error": {"message": "no such trace", "field": "trace_id", "allowed": []}}, 404)
    if isinstance(found, dict):
        return JSONResponse(found)
    beside = {"next": "cursor-2"} if path == "traces" and "cursor" not in request.query_params else {}
    return Response(_arrow(found, beside), media_type="application/vnd.apache.arrow.stream")


def _allowed(path: str) -> set[str]:
    """The parameters an endpoint takes; like the collector, the server refuses any other."""
    window = {"project", "start", "end"}
    filters = {"model", "app", "user_id", "session_id", "status"}
    own = {
        "overview": filters,
        "series": {*filters, "metric", "by", "bucket_seconds"},
        "breakdown": {*filters, "metric", "by", "limit"},
        "traces": {*filters, "limit", "cursor", "search", "min_duration_ms"},
        "scores": {"limit"},
        "scores/summary": {"by"},
        "scores/series": {"by"},
        "drift": {"limit"},
        "alerts/events": {"limit"},
    }
    return window | own.get(path, set())


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else float(value)


def _arrow(found: list[dict[str, Any]], beside: dict[str, Any]) -> bytes:
    table = pa.Table.from_pylist(found)
    table = table.replace_schema_metadata({name: json.dumps(value) for name, value in beside.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def rows(canned: Canned, path: str, request: Request) -> list[dict[str, Any]] | dict[str, Any] | None:
    """The rows of an endpoint, a whole body where it is not rows, None for 404."""
    query = request.query_params
    if path.startswith("traces/"):
        return _trace_answer(canned, path)
    if path == "overview":
        return _overview(canned)
    if canned.empty:
        return []
    end = datetime.fromisoformat(query["end"]) if "end" in query else datetime.now(UTC)
    start = datetime.fromisoformat(query["start"]) if "start" in query else end - timedelta(hours=1)
    names = query.getlist("metric")
    answers = {
        "series": lambda: _series(canned, start, end, names, query.get("by", "")),
        "breakdown": lambda: _breakdown(canned, names, query["by"]),
        "traces": lambda: _traces(canned, end),
        "scores": lambda: _scores(canned, end),
        "scores/summary": lambda: _score_summary(query.getlist("by")),
        "scores/series": lambda: _score_series(start, end),
        "drift": lambda: _drift(canned, end),
        "alerts/events": lambda: _alerts(canned, end),
        "ledger": _ledger,
    }
    if path.startswith("dimensions/"):
        return [{"value": value, "requests": 100} for value in _values(canned, path.split("/")[1])]
    return answers[path]()


def _values(canned: Canned, dimension: str) -> list[str]:
    known = {
        "model": [*MODELS, canned.hostile],
        "app": list(APPS),
        "user_id": ["ada", "grace", "linus", ""],
        "session_id": ["s-1", "s-2"],
        "team": ["search", "growth"],
        "key_id": ["key-1", "key-2"],
    }
    return known[dimension]


def _metrics(random: np.random.Generator, share: float, wave: float) -> dict[str, Any]:
    requests = int(1 + share * 400 * wave * random.uniform(0.85, 1.15))
    hits, errors = int(requests * 0.18), int(random.binomial(requests, 0.012))
    scaled = {name: ms * random.uniform(0.85, 1.2) * (2 - wave) for name, ms in METRIC_SCALES.items()}
    return {
        "requests": requests,
        "errors": errors,
        "error_rate": errors / requests,
        "cost_usd": requests * 0.00184 * random.uniform(0.9, 1.1),
        "saved_usd": hits * 0.0019,
        "unpriced": int(requests * 0.01),
        "tokens_per_second": 61.5 * random.uniform(0.8, 1.2),
        "cache_hits": hits,
        "cache_hit_rate": hits / requests,
        **scaled,
    }


def _overview(canned: Canned) -> list[dict[str, Any]]:
    random = np.random.default_rng(1)
    windows = [
        {"window": name, **_metrics(random, 30.0 - 3 * index, 0.9)}
        for index, name in enumerate(["current", "previous"])
    ]
    nothing: dict[str, Any] = {"requests": 0, "errors": 0, "cost_usd": 0.0, "p95_ms": None, "simulated": False}
    if canned.empty:
        return [{**dict.fromkeys(window), **nothing, "window": window["window"]} for window in windows]
    return [{**window, "simulated": True} for window in windows]


def _times(start: datetime, end: datetime, buckets: int = 60) -> list[datetime]:
    step = (end - start) / buckets
    return [start + step * index for index in range(buckets)]


def _series(canned: Canned, start: datetime, end: datetime, names: list[str], by: str) -> list[dict[str, Any]]:
    random = np.random.default_rng(2)
    groups = _values(canned, by) if by else [""]
    found = []
    for index, ts in enumerate(_times(start, end)):
        wave = 0.75 + 0.25 * float(np.sin(index / 9))
        for rank, group in enumerate(groups):
            metrics = _metrics(random, 1 / (1 + rank), wave)
            found.append({"ts": ts, **({by: group} if by else {}), **{name: metrics[name] for name in names}})
    return found


def _breakdown(canned: Canned, names: list[str], by: str) -> list[dict[str, Any]]:
    random = np.random.default_rng(3)
    return [
        {by: value, **{name: metrics[name] for name in names}}
        for rank, value in enumerate(_values(canned, by))
        if (metrics := _metrics(random, 30 / (1 + rank), 0.9))
    ]


def _traces(canned: Canned, end: datetime) -> list[dict[str, Any]]:
    random = np.random.default_rng(4)
    names = ("chat llama-3.3-70b", "answer_question", "chat gpt-5-mini", canned.hostile)
    return [
        {
            "trace_id": TRACE_ID if index == 0 else f"{index:032x}",
            "ts": end - timedelta(seconds=7 * index),
            "name": names[index % 4],
            "app": APPS[index % 4],
            "user_id": ("ada", "grace", "")[index % 3],
            "session_id": f"s-{index // 4}",
            "status": "error" if index % 11 == 5 else "ok",
            "duration_ms": float(random.lognormal(6.8, 0.7)),
            "spans": 1 + index % 9,
            "requests": 1 + index % 3,
            "input_tokens": int(random.integers(80, 4000)),
            "output_tokens": int(random.integers(20, 900)),
            "cost_usd": float(random.uniform(0.0001, 0.02)),
            "models": [MODELS[index % 5]],
        }
        for index in range(50)
    ]


def _span(
    index: int, parent: int, name: str, operation: str, start_ms: float, took_ms: float, **more: Any
) -> dict[str, Any]:
    llm = operation == "chat"
    return {
        "project": "default",
        "ts": datetime(2026, 11, 20, 12, 0, tzinfo=UTC) + timedelta(milliseconds=start_ms),
        "span_id": f"{index:016x}",
        "parent_span_id": f"{parent:016x}" if parent else "",
        "name": name,
        "operation": operation,
        "status": "ok",
        "app": "doc-search",
        "model": "llama-3.3-70b" if llm else "",
        "provider": "vllm" if llm else "",
        "input_tokens": 1243 if llm else 0,
        "output_tokens": 318 if llm else 0,
        "cost_usd": 0.00184 if llm else None,
        "ttft_ms": 182.0 if llm else None,
        "duration_ms": took_ms,
        "simulated": True,
        "purpose": "",
        "user_id": "ada",
        "session_id": "s-1",
        **more,
    }


def spans(canned: Canned) -> list[dict[str, Any]]:
    """An agent that retrieves, calls a tool, fails once and answers."""
    return [
        _span(1, 0, "answer_question", "invoke_agent", 0, 4200),
        _span(2, 1, "retrieve", "retrieval", 20, 460),
        _span(3, 2, "embeddings bge-m3", "embeddings", 24, 96),
        _span(4, 1, "chat qwen3-32b", "chat", 500, 900, status="error", error_type="timeout"),
        _span(5, 1, "chat llama-3.3-70b", "chat", 1420, 1900),
        _span(6, 1, canned.hostile, "execute_tool", 3340, 300),
        _span(7, 1, "chat llama-3.3-70b", "chat", 3660, 520),
        _span(8, 7, "llm_request", "", 3670, 500),
    ]


def _trace_answer(canned: Canned, path: str) -> list[dict[str, Any]] | dict[str, Any] | None:
    parts = path.split("/")
    known = {
        TRACE_ID: spans(canned),
        BIG_TRACE_ID: [_span(n, n // 4, f"step {n}", "execute_tool", n * 3.0, 400.0) for n in range(1, 5001)],
        TANGLED_TRACE_ID: [
            _span(1, 2, "cycle a", "", 0, 100),
            _span(2, 1, "cycle b", "", 10, 50),
            _span(3, 999, "orphan", "chat", 20, 30),
        ],
    }
    found = known.get(parts[1])
    if found is None or len(parts) == 2:
        return found
    span = next((row for row in found if row["span_id"] == parts[3]), None)
    return None if span is None else _detail(canned, span)


def _detail(canned: Canned, span: dict[str, Any]) -> dict[str, Any]:
    asked = [
        {"role": "system", "content": "You answer from the documents. If they do not say, say so."},
        {"role": "user", "content": f"What is the refund window for EU customers? {canned.hostile}"},
        {"role": "tool", "content": '{"documents": 4}'},
    ]
    call = {"function": {"name": "search_docs", "arguments": '{"query": "refund window EU"}'}}
    said = [{"role": "assistant", "content": f"14 days from delivery. {canned.hostile}", "tool_calls": [call]}]
    llm = span["operation"] == "chat"
    return {
        "span": json.loads(json.dumps({**span, "attributes": {"gen_ai.request.temperature": "0.2"}}, default=_plain)),
        "input": json.dumps(asked) if llm else "",
        "output": json.dumps(said) if llm else "",
        "scores": [{"name": "helpfulness", "value": 0.91, "source": "judge", "comment": canned.hostile}] if llm else [],
    }


def _scores(canned: Canned, end: datetime) -> list[dict[str, Any]]:
    return [
        {
            "ts": end - timedelta(minutes=3 * index),
            "trace_id": TRACE_ID,
            "span_id": LLM_SPAN_ID,
            "name": ("helpfulness", "groundedness", "thumbs")[index % 3],
            "value": 0.2 + 0.1 * (index % 7),
            "source": ("judge", "judge", "user")[index % 3],
            "comment": ("Names no source.", canned.hostile, "wrong policy")[index % 3],
        }
        for index in range(30)
    ]


def _score_summary(dimensions: list[str]) -> list[dict[str, Any]]:
    if "model" in dimensions:
        return [
            {
                "model": model,
                "source": "judge",
                "scores": 40 + 30 * index,
                "mean": 0.8,
                "pass_rate": 0.95 - 0.08 * index,
            }
            for index, model in enumerate(MODELS)
        ]
    return [
        {"name": "helpfulness", "source": "judge", "scores": 210, "mean": 0.83, "pass_rate": 0.91},
        {"name": "groundedness", "source": "judge", "scores": 190, "mean": 0.76, "pass_rate": 0.84},
        {"name": "thumbs", "source": "user", "scores": 64, "mean": 0.72, "pass_rate": 0.72},
    ]


def _score_series(start: datetime, end: datetime) -> list[dict[str, Any]]:
    random = np.random.default_rng(5)
    return [
        {"ts": ts, "name": name, "scores": 4, "mean": float(np.clip(level + random.normal(0, 0.05), 0, 1))}
        for ts in _times(start, end, 30)
        for name, level in (("helpfulness", 0.83), ("groundedness", 0.76), ("thumbs", 0.7))
    ]


def _drift(canned: Canned, end: datetime) -> list[dict[str, Any]]:
    random = np.random.default_rng(6)
    found = []
    for segment in ("support-bot", "doc-search"):
        for index in range(24):
            drifted = segment == "support-bot" and index < 5
            found.append(
                {
                    "ts": end - timedelta(minutes=2 * index),
                    "segment": segment,
                    "window_start": end - timedelta(minutes=2 * index + 60),
                    "reference_start": end - timedelta(minutes=2 * index + 420),
                    "reference_end": end - timedelta(minutes=2 * index + 60),
                    "sessions_reference": 312,
                    "sessions_current": 54,
                    "prompts_reference": 1890,
                    "prompts_current": 301,
                    "statistic": 0.0192 if drifted else 0.0011,
                    "p_value": 0.001 / (6 - index) if drifted else float(random.uniform(0.05, 0.95)),
                    "alpha": 0.01,
                    "drifted": drifted,
                    "terms": ["tariff", "customs", "import duty", canned.hostile[:30]] if drifted else [],
                    "examples": ["Do I pay customs on this parcel?", canned.hostile] if drifted else [],
                }
            )
    return found


def _alerts(canned: Canned, end: datetime) -> list[dict[str, Any]]:
    events = (
        ("firing", "delivered", 1),
        ("resolved", "delivered", 40),
        ("firing", "failed", 55),
        ("firing", "pending", 200),
    )
    return [
        {
            "ts": end - timedelta(minutes=minutes),
            "rule": "slow" if index < 3 else "errors",
            "fingerprint": "f1" if index < 3 else "f2",
            "state": state,
            "severity": "page",
            "value": 2841.0,
            "threshold": 2000.0,
            "labels": {"model": "llama-3.3-70b"},
            "summary": f"p95_ms is 2,841, above 2,000 {canned.hostile if index == 3 else ''}",
            "delivery": delivery,
            "receiver": "oncall",
        }
        for index, (state, delivery, minutes) in enumerate(events)
    ]


def _ledger() -> list[dict[str, Any]]:
    return [
        {
            "service": "spanwell-proxy",
            "instance": "proxy-0",
            "sent": 18213,
            "stored": 18213,
            "dropped": 0,
            "missing": 0,
        },
        {"service": "doc-search", "instance": "host-7:4411", "sent": 4120, "stored": 4116, "dropped": 2, "missing": 4},
    ]
