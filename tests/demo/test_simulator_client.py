"""The stock openai client against the simulated server, over a real port."""

import asyncio
import socket
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
import uvicorn

from spanwell.demo.otlp import Span
from spanwell.demo.profiles import ModelProfile
from spanwell.demo.simulator import Simulator

BROKEN = ModelProfile(
    name="sim-broken",
    ttft_ms=1,
    tokens_per_second=1000,
    input_price=Decimal(1),
    output_price=Decimal(1),
    error_rate=1.0,
)
SLOW = ModelProfile(name="sim-slow", ttft_ms=20, tokens_per_second=20, input_price=Decimal(1), output_price=Decimal(1))
SPEC = {
    "name": "get_order_status",
    "description": "Look up the status of an order",
    "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
}
TOOLS: Any = [{"type": "function", "function": SPEC}]
STATUS_QUESTION: Any = [{"role": "user", "content": "What is the status of my order DE-1042?"}]
QUESTION: Any = [{"role": "user", "content": "I want to return the jacket, the size is wrong."}]


@pytest.fixture
def spans() -> list[Span]:
    return []


@pytest.fixture
def simulator(spans: list[Span]) -> Simulator:
    return Simulator((SLOW, BROKEN), seed=1, time_scale=0, on_span=spans.append)


@pytest.fixture
async def url(simulator: Simulator) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(simulator, log_config=None, access_log=False))
    serving = asyncio.create_task(server._serve([listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving
    listener.close()


@pytest.fixture
async def client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def test_the_same_prompt_gets_the_same_answer(client: openai.AsyncOpenAI) -> None:
    first, second = [await client.chat.completions.create(model="sim-slow", messages=QUESTION) for _ in range(2)]

    assert first.choices[0].message.content == second.choices[0].message.content
    assert first.system_fingerprint == "vllm-simulated"


async def test_a_stream_adds_up_to_the_unary_answer(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="sim-slow", messages=QUESTION)

    stream = await client.chat.completions.create(
        model="sim-slow", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert whole.usage is not None
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


async def test_max_tokens_cuts_the_answer(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="sim-slow", messages=QUESTION, max_tokens=5)

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


async def test_a_tool_is_called_when_the_prompt_asks_for_it(client: openai.AsyncOpenAI) -> None:
    asking = await client.chat.completions.create(model="sim-slow", messages=STATUS_QUESTION, tools=TOOLS)
    chatting = await client.chat.completions.create(model="sim-slow", messages=QUESTION, tools=TOOLS)

    calls: Any = asking.choices[0].message.tool_calls
    assert asking.choices[0].finish_reason == "tool_calls"
    assert (calls[0].function.name, calls[0].function.arguments) == ("get_order_status", '{"order_id":"DE-1042"}')
    assert chatting.choices[0].message.tool_calls is None


async def test_a_streamed_tool_call_adds_up(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="sim-slow", messages=STATUS_QUESTION, tools=TOOLS, stream=True)

    parts: Any = [part async for chunk in stream for part in chunk.choices[0].delta.tool_calls or ()]

    assert parts[0].function.name == "get_order_status"
    assert "".join(part.function.arguments for part in parts) == '{"order_id":"DE-1042"}'


async def test_the_result_of_a_tool_is_reported(client: openai.AsyncOpenAI) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "get_order_status", "arguments": "{}"}}
    messages: Any = [
        *STATUS_QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": '{"state": "in the depot"}'},
    ]

    answer = await client.chat.completions.create(model="sim-slow", messages=messages, tools=TOOLS)

    assert "in the depot" in (answer.choices[0].message.content or "")


async def test_failures_are_two_errors_and_then_a_busy(client: openai.AsyncOpenAI) -> None:
    statuses = []
    for _ in range(3):
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model="sim-broken", messages=QUESTION)
        statuses.append(caught.value.status_code)

    assert statuses == [500, 500, 429]


async def test_an_unknown_model_is_the_clients_not_found_error(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        await client.chat.completions.create(model="nope", messages=QUESTION)


async def test_the_engines_span_joins_the_callers_trace(client: openai.AsyncOpenAI, spans: list[Span]) -> None:
    headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "x-request-id": "7"}

    answer = await client.chat.completions.create(model="sim-slow", messages=QUESTION, extra_headers=headers)

    assert answer.usage is not None
    (span,) = spans
    assert (span.name, span.trace_id.hex(), span.parent_id.hex()) == ("llm_request", "ab" * 16, "cd" * 8)
    assert span.attributes["gen_ai.request.id"] == "chatcmpl-7"
    assert span.attributes["gen_ai.usage.prompt_tokens"] == answer.usage.prompt_tokens
    assert "gen_ai.usage.input_tokens" not in span.attributes


async def test_an_unsampled_caller_gets_no_span(client: openai.AsyncOpenAI, spans: list[Span]) -> None:
    headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-00"}

    await client.chat.completions.create(model="sim-slow", messages=QUESTION, extra_headers=headers)

    assert spans == []


async def test_a_reader_who_leaves_aborts_the_request(url: str, simulator: Simulator) -> None:
    simulator._time_scale = 1.0
    stats = simulator.engines["sim-slow"].stats
    body = {"model": "sim-slow", "messages": QUESTION, "stream": True}

    async with (
        httpx.AsyncClient() as http,
        http.stream("POST", f"{url}/v1/chat/completions", json=body) as response,
    ):
        await anext(response.aiter_lines())
        running = stats.running
    for _ in range(100):
        if stats.finished["abort"]:
            break
        await asyncio.sleep(0.02)

    assert (running, stats.running, stats.finished["abort"]) == (1, 0, 1)
