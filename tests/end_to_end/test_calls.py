"""Calls of the stock `openai` client through the gateway, read back as rows through the SQL door."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tests.end_to_end.house import MASTER_KEY, House, wait_until

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Where is my parcel?"}]
WEATHER_TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def client(house: House) -> Iterator[OpenAI]:
    with OpenAI(base_url=house.base_url, api_key=MASTER_KEY, max_retries=0) as client:
        yield client


def stored(house: House, response_id: str) -> tuple[Any, ...]:
    """The one row of a call, once it is there: within a second or so, unless the machine is busy."""
    rows: list[tuple[Any, ...]] = wait_until(
        lambda: house.query(
            "SELECT status, model, input_tokens, output_tokens, cached_tokens, cost_usd, parent_span_id, stream "
            "FROM spanwell.spans WHERE response_id = {id:String}",
            id=response_id,
        ),
        seconds=20,
    )
    assert len(rows) == 1
    return rows[0]


def cost_by_hand(prompt: int, completion: int, cached: int) -> Decimal:
    return (prompt - cached) * Decimal("0.000001") + cached * Decimal("0.0000001") + completion * Decimal("0.000002")


def test_a_unary_call_is_one_row_with_the_tokens_and_the_cost_by_hand(house: House, client: OpenAI) -> None:
    reply = client.chat.completions.create(model="chat", messages=QUESTION)

    assert reply.choices[0].message.content
    assert reply.usage is not None
    cached = (reply.usage.prompt_tokens_details and reply.usage.prompt_tokens_details.cached_tokens) or 0
    prompt, completion = reply.usage.prompt_tokens, reply.usage.completion_tokens
    cost = cost_by_hand(prompt, completion, cached)
    assert stored(house, reply.id) == ("ok", "sim-llama-8b-v1", prompt, completion, cached, cost, "", False)


def test_a_streamed_call_shows_no_usage_to_a_client_that_did_not_ask_yet_is_stored_with_it(
    house: House, client: OpenAI
) -> None:
    chunks = list(client.chat.completions.create(model="chat", messages=QUESTION, stream=True))

    assert [chunk.usage for chunk in chunks if chunk.usage] == []
    assert all(chunk.choices for chunk in chunks)
    row = stored(house, chunks[0].id)
    assert row[0] == "ok"
    assert row[2] > 0
    assert row[3] > 0
    assert row[7] is True


def test_a_streamed_call_reports_usage_to_a_client_that_asked(house: House, client: OpenAI) -> None:
    options: Any = {"include_usage": True}

    chunks = list(client.chat.completions.create(model="chat", messages=QUESTION, stream=True, stream_options=options))

    usage = chunks[-1].usage
    assert usage is not None
    assert stored(house, chunks[-1].id)[2:4] == (usage.prompt_tokens, usage.completion_tokens)


def test_a_tool_call_reaches_the_client_and_the_stored_texts(house: House, client: OpenAI) -> None:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the weather in Lisbon?"}]

    reply = client.chat.completions.create(model="chat", messages=messages, tools=[WEATHER_TOOL])

    calls = reply.choices[0].message.tool_calls
    assert calls is not None
    stored(house, reply.id)
    trace_id, span_id = house.query(
        "SELECT trace_id, span_id FROM spanwell.spans WHERE response_id = {id:String}", id=reply.id
    )[0]
    texts = house.api(f"traces/{trace_id}/spans/{span_id}")
    assert "Lisbon" in texts["input"]
    assert "get_weather" in texts["output"]


async def test_a_thousand_calls_at_32_connections_are_a_thousand_rows(house: House) -> None:
    gate = asyncio.Semaphore(32)
    app = {"x-spanwell-app": "thousand"}

    async with AsyncOpenAI(
        base_url=house.base_url, api_key=MASTER_KEY, max_retries=0, default_headers=app, timeout=60
    ) as client:

        async def call(number: int) -> None:
            async with gate:
                messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": f"Parcel number {number}?"}]
                await client.chat.completions.create(model="chat", messages=messages, max_tokens=4)

        await asyncio.gather(*(call(number) for number in range(1000)))

    def counts() -> tuple[Any, ...]:
        return house.query("SELECT count(), uniqExact(span_id) FROM spanwell.spans WHERE app = 'thousand'")[0]

    wait_until(lambda: counts()[0] >= 1000, seconds=5)
    assert counts() == (1000, 1000)


@pytest.mark.parametrize(
    ("key", "body", "error"),
    [
        ("sk-canary-wrong-key-5f1c", {"model": "chat", "messages": QUESTION}, openai.AuthenticationError),
        (MASTER_KEY, {"model": "no-such-model", "messages": QUESTION}, openai.NotFoundError),
        (MASTER_KEY, {"model": "chat", "messages": "not a list"}, openai.BadRequestError),
    ],
)
def test_a_refused_call_is_an_openai_error_and_leaves_no_secret(
    house: House, key: str, body: dict[str, Any], error: type[openai.APIStatusError]
) -> None:
    client = OpenAI(base_url=house.base_url, api_key=key, max_retries=0)

    with pytest.raises(error) as refused:
        client.chat.completions.create(**body)

    shape: Any = refused.value.body
    assert {"message", "type", "param", "code"} <= set(shape)
    assert key not in house.log.read_text(encoding="utf-8")
    assert key not in str(shape)
    assert house.query(
        "SELECT count() FROM spanwell.spans WHERE toString(tuple(*)) LIKE {key:String}", key=f"%{key}%"
    ) == [(0,)]
