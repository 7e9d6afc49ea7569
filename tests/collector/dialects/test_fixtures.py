"""What the real packages sent, refined and stored, is what the backend billed: field by field."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.collector.dialects.conftest import Row, StoreSpans

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(path.name.removesuffix(".truth.json") for path in FIXTURES.glob("*.truth.json"))
CALLS = ("chat", "text_completion", "embeddings")
COUNTS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
FACTS = ("provider", "request_model", "response_id", "user_id", "session_id", "stream", *COUNTS)
ELSEWHERE = ("a parent", "the parents", "log record", "SDK's own span, 5", "stream of the SDK's own", "the sum over")
DIALECTS = {
    "openllmetry_old": "openllmetry",
    "otel_v2_default": "gen_ai_old",
    "otel_v2_latest": "gen_ai",
    "otel_v2_old": "gen_ai_old",
    "mlflow_genai": "mlflow",
    "vercel_ai_v6": "vercel",
    "vercel_ai_v7": "vercel",
}


def dialect_of(fixture: str) -> str:
    return DIALECTS.get(fixture, fixture.removesuffix("_openai").removesuffix("_anthropic"))


class Recorded(NamedTuple):
    """The truth, and the rows of its calls as the dialect's own spans tell them."""

    truth: dict[str, Any]
    rows: list[Row]


def sent_calls(truth: dict[str, Any]) -> list[dict[str, Any]]:
    return [call for call in truth["calls"] if "call" not in call["missing"]]


def settled_later(call: dict[str, Any], field: str) -> bool:
    """Whether the fact stands on another span or in a log record."""
    return any(place in call["where"].get(field, "") for place in ELSEWHERE)


def is_told(call: dict[str, Any], field: str) -> bool:
    return field not in call["missing"] and not settled_later(call, field)


def expected_facts(call: dict[str, Any]) -> Row:
    """What is missing on the wire is empty in the store, but for who answers under vLLM."""
    facts = {field: call[field] for field in FACTS if not settled_later(call, field)}
    for field in set(call["missing"]) & set(facts) - ({"provider"} if call["provider"] == "vllm" else set()):
        facts[field] = type(facts[field])()
    return {
        **facts,
        "response_id": facts["response_id"] or "",
        "operation": call["operation"],
        "model": answering(call),
    }


def answering(call: dict[str, Any]) -> str:
    for field in ("response_model", "request_model"):
        if field not in call["missing"] and call[field]:
            return str(call[field])
    return ""


def messages_of(row: Row, text: str) -> list[dict[str, Any]]:
    return list(json.loads(row[text])) if row[text] else []


def said(messages: list[dict[str, Any]]) -> str:
    parts = [part for message in messages for part in message["parts"]]
    return "\n".join(str(part["content"]) for part in parts if part["type"] == "text")


@pytest.fixture(params=NAMES)
def recorded(request: pytest.FixtureRequest, store_spans: StoreSpans) -> Recorded:
    name = request.param
    truth = json.loads((FIXTURES / f"{name}.truth.json").read_text())
    rows = store_spans((FIXTURES / f"{name}.traces.pb").read_bytes(), f"{name}-{request.node.originalname}")
    return Recorded(truth, [row for row in rows if row["dialect"] == dialect_of(name) and row["operation"] in CALLS])


def test_every_call_is_stored_as_it_was_billed(recorded: Recorded) -> None:
    calls, rows = sent_calls(recorded.truth), recorded.rows
    if recorded.truth["fixture"] == "vllm":
        rows = list({row["response_id"]: row for row in rows}.values())  # two spans are one call of n=2

    stored = [{field: row[field] for field in expected_facts(call)} for row, call in zip(rows, calls, strict=True)]

    assert stored == [expected_facts(call) for call in calls]


def test_every_call_says_what_was_said(recorded: Recorded) -> None:
    for row, call in zip(recorded.rows, sent_calls(recorded.truth), strict=recorded.truth["fixture"] != "vllm"):
        given, returned = messages_of(row, "input"), messages_of(row, "output")
        if is_told(call, "input_contains"):
            assert call["input_contains"] in said(given)
        if is_told(call, "output_contains"):
            assert call["output_contains"] in said(returned)
        if is_told(call, "tool_calls"):
            parts = [part for message in returned for part in message["parts"]]
            assert [part["name"] for part in parts if part["type"] == "tool_call"] == call["tool_calls"]


def test_a_call_that_ended_with_a_tool_says_so_in_one_word(recorded: Recorded) -> None:
    tools = [row for row in recorded.rows if "tool_call" in str(row["output"])]

    assert {row["finish_reason"] for row in tools} <= (
        {""} if recorded.truth["fixture"] == "langfuse" else {"tool_calls"}
    )


def test_every_failure_is_one(recorded: Recorded) -> None:
    failed = [call for call in recorded.truth["calls"] if call["status"] == "error"]

    stored = [row for row in recorded.rows if row["status"] == "error"]

    assert len(stored) == len(failed)
    assert [bool(row["error_type"]) for row in stored] == ["error_type" not in call["missing"] for call in failed]
