"""The stock OpenAI client, through the proxy, to the true vLLM server: what it reports is what is stored."""

import asyncio
import json
import uuid
from decimal import Decimal
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.shared_params import ResponseFormatJSONSchema

from tests.end_to_end.house import MASTER_KEY, House, wait_until
from tests.vllm.conftest import RATES, VLLM_SPANS_PORT

pytestmark = pytest.mark.vllm

LONGER_THAN_A_BLOCK = "please explain the latency of the request in the trace " * 40  # vLLM caches blocks of 128 tokens
VERDICT: ResponseFormatJSONSchema = {
    "type": "json_schema",
    "json_schema": {
        "name": "verdict",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"reason": {"type": "string"}, "label": {"type": "string", "enum": ["pass", "fail"]}},
            "required": ["reason", "label"],
            "additionalProperties": False,
        },
    },
}
FIND_PARCEL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "find_parcel", "parameters": {"type": "object", "properties": {"id": {"type": "string"}}}},
}


def test_a_call_is_one_row_with_vllms_tokens_and_the_cost_by_hand(client: OpenAI, house: House) -> None:
    user = fresh_user()

    reply = client.chat.completions.create(model="tiny", messages=ask("explain latency"), max_tokens=8, user=user)

    row = the_row(house, user)
    assert reply.usage is not None
    assert tokens(row) == reported(reply.usage)
    assert row["cost_usd"] == cost(reply.usage)
    assert (row["operation"], row["status"], row["model"], row["provider"]) == ("chat", "ok", "tiny", "vllm")


def test_a_stream_that_asks_for_no_usage_gets_none_and_is_counted_all_the_same(client: OpenAI, house: House) -> None:
    user = fresh_user()

    chunks = list(
        client.chat.completions.create(
            model="tiny",
            messages=ask("explain latency"),
            max_tokens=8,
            user=user,
            stream=True,
            extra_body={"ignore_eos": True},
        )
    )

    row = the_row(house, user)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert row["output_tokens"] == 8
    assert 0 < row["ttft_ms"] <= row["duration_ms"]


def test_a_stream_that_asks_for_usage_gets_what_is_stored(client: OpenAI, house: House) -> None:
    user = fresh_user()

    *_, last = client.chat.completions.create(
        model="tiny",
        messages=ask("explain latency"),
        max_tokens=8,
        user=user,
        stream=True,
        stream_options={"include_usage": True},
    )

    assert last.usage is not None
    assert tokens(the_row(house, user)) == reported(last.usage)


async def test_calls_of_the_async_client_are_a_row_each(house: House) -> None:
    user = fresh_user()
    async with AsyncOpenAI(base_url=house.base_url, api_key=MASTER_KEY, max_retries=0) as client:
        calls = [
            client.chat.completions.create(model="tiny", messages=ask(f"explain {n}"), max_tokens=8, user=user)
            for n in range(16)
        ]
        replies = await asyncio.gather(*calls)

    rows = await asyncio.to_thread(rows_of, house, user, count=16)
    assert sorted(tokens(row) for row in rows) == sorted(reported(reply.usage) for reply in replies if reply.usage)


def test_structured_output_keeps_to_its_schema(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model="tiny", messages=ask("was it good?"), max_tokens=400, temperature=0, response_format=VERDICT
    )

    verdict = json.loads(reply.choices[0].message.content or "")
    assert verdict.keys() == {"reason", "label"}
    assert verdict["label"] in {"pass", "fail"}


def test_a_tool_that_must_be_called_is_called(client: OpenAI, house: House) -> None:
    user = fresh_user()

    reply = client.chat.completions.create(
        model="tiny",
        messages=ask("where is my parcel?"),
        max_tokens=200,
        user=user,
        tools=[FIND_PARCEL],
        tool_choice={"type": "function", "function": {"name": "find_parcel"}},
    )

    (call,) = reply.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "find_parcel"
    assert "find_parcel" in texts_of(house, the_row(house, user))["output"]


def test_the_request_id_joins_answer_span_and_vllm(client: OpenAI, house: House) -> None:
    user = fresh_user()

    answer = client.chat.completions.with_raw_response.create(
        model="tiny", messages=ask("explain latency"), max_tokens=8, user=user
    )

    request_id = answer.headers["x-request-id"]
    row = the_row(house, user)
    assert answer.parse().id == f"chatcmpl-{request_id}" == row["response_id"]
    assert row["attributes"]["spanwell.request_id"] == request_id


def test_vllms_own_span_joins_the_trace_and_nothing_counts_twice(client: OpenAI, house: House) -> None:
    if house.settings.collector_port != VLLM_SPANS_PORT:
        pytest.skip(f"something else listens on {VLLM_SPANS_PORT}, where vLLM sends its spans")
    user = fresh_user()

    reply = client.chat.completions.create(model="tiny", messages=ask("explain latency"), max_tokens=8, user=user)

    row = the_row(house, user)
    inside = wait_until(
        lambda: spans(house, "trace_id = {id:String} AND name = 'llm_request'", id=row["trace_id"]), seconds=15
    )
    (attempt,) = spans(house, "trace_id = {id:String} AND name = 'attempt 1'", id=row["trace_id"])
    assert [span["parent_span_id"] for span in (*inside, attempt)] == [attempt["span_id"], row["span_id"]]
    overview = house.api("breakdown", by="user_id", metric=["requests", "input_tokens"], user_id=user)["rows"]
    assert reply.usage is not None
    assert [(found["requests"], found["input_tokens"]) for found in overview] == [(1, reply.usage.prompt_tokens)]


def test_a_long_prefix_is_read_from_vllms_cache_at_its_own_rate(client: OpenAI, house: House) -> None:
    user = fresh_user()
    prompt = ask(f"{user} {LONGER_THAN_A_BLOCK}")

    client.chat.completions.create(model="tiny", messages=prompt, max_tokens=2)
    reply = client.chat.completions.create(model="tiny", messages=prompt, max_tokens=2, user=user)

    row = the_row(house, user)
    assert reply.usage is not None
    assert row["cached_tokens"] >= 128
    assert tokens(row) == reported(reply.usage)
    assert row["cost_usd"] == cost(reply.usage)


def test_an_unknown_model_is_vllms_404(client: OpenAI, house: House) -> None:
    user = fresh_user()

    with pytest.raises(openai.NotFoundError, match="a-model-that-vllm-does-not-serve") as caught:
        client.chat.completions.create(model="gone", messages=ask("hello"), user=user)

    row = the_row(house, user)
    assert caught.value.param == "model"
    assert (row["status"], row["http_status"], row["input_tokens"], row["cost_usd"]) == ("error", 404, 0, None)


def test_a_prompt_that_is_too_long_is_vllms_400(client: OpenAI, house: House) -> None:
    user = fresh_user()

    with pytest.raises(openai.BadRequestError, match="maximum context length"):
        client.chat.completions.create(model="tiny", messages=ask("word " * 9000), user=user)

    assert the_row(house, user)["http_status"] == 400


def test_a_model_behind_vllm_judges_an_answer(client: OpenAI, house: House) -> None:
    user = fresh_user()
    client.chat.completions.create(model="tiny", messages=ask("where is my parcel?"), max_tokens=8, user=user)
    row = the_row(house, user)

    scores = wait_until(lambda: house.api("scores", trace_id=row["trace_id"])["rows"], seconds=30)

    assert [score["name"] for score in scores] == ["helpfulness"]
    assert scores[0]["label"] in {"pass", "fail", "unsure"}
    assert scores[0]["span_id"] == row["span_id"]


def fresh_user() -> str:
    return f"user-{uuid.uuid4().hex[:12]}"


def ask(question: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": question}]


def the_row(house: House, user: str) -> dict[str, Any]:
    """The one call of `user`, once it is stored."""
    (row,) = rows_of(house, user, count=1)
    return row


def rows_of(house: House, user: str, count: int) -> list[dict[str, Any]]:
    wait_until(lambda: len(spans(house, "user_id = {user:String}", user=user)) >= count, seconds=10)
    return spans(house, "user_id = {user:String}", user=user)


COLUMNS = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "response_id",
    "operation",
    "status",
    "http_status",
    "provider",
    "model",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cost_usd",
    "ttft_ms",
    "duration_ms",
    "attributes",
)


def spans(house: House, where: str, **parameters: str) -> list[dict[str, Any]]:
    rows = house.query(f"SELECT {', '.join(COLUMNS)} FROM spanwell.spans WHERE {where}", **parameters)
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def texts_of(house: House, row: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = house.api(f"traces/{row['trace_id']}/spans/{row['span_id']}")
    return body


def tokens(row: dict[str, Any]) -> tuple[int, int, int]:
    return row["input_tokens"], row["output_tokens"], row["cached_tokens"]


def reported(usage: CompletionUsage) -> tuple[int, int, int]:
    details = usage.prompt_tokens_details
    return usage.prompt_tokens, usage.completion_tokens, (details and details.cached_tokens) or 0


def cost(usage: CompletionUsage) -> Decimal:
    """The price of a call as one would reckon it on paper."""
    prompt, completion, cached = reported(usage)
    rate = {kind: Decimal(str(value)) for kind, value in RATES.items()}
    return (
        (prompt - cached) * rate["input_cost_per_token"]
        + cached * rate["cache_read_input_token_cost"]
        + completion * rate["output_cost_per_token"]
    )
