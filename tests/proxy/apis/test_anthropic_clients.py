"""Anthropic's stock client, against backends that speak its API: Anthropic's own, and vLLM."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import MessageParam, TextBlockParam, ToolParam

from spanwell import conventions as c
from tests.proxy import anthropic_backend
from tests.proxy.anthropic_backend import COUNTED_TOKENS, AnthropicBackend, running_anthropic
from tests.proxy.backend import SECRET, Backend
from tests.proxy.gateway import COST_USD, MASTER_KEY, PRICES, Proxy, config, running_proxy
from tests.proxy.shapes import TEXT
from tests.proxy.sink import Sink

ASK: list[MessageParam] = [{"role": "user", "content": "Do foxes sleep?"}]
BODY = {"model": "claude", "max_tokens": 64, "messages": ASK}
TOOLS: list[ToolParam] = [{"name": "weather", "input_schema": {"type": "object"}}]
CACHED: list[TextBlockParam] = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
SAID = "".join(anthropic_backend.WORDS)
COUNTED = (c.INPUT_TOKENS, c.OUTPUT_TOKENS, c.CACHE_READ_TOKENS, c.COST_USD)


@pytest.fixture
async def anthropic_api() -> AsyncIterator[AnthropicBackend]:
    async with running_anthropic() as backend:
        yield backend


@pytest.fixture
async def claude(anthropic_api: AnthropicBackend, sink: Sink, tmp_path: Path) -> AsyncIterator[Proxy]:
    params = {"model": "anthropic/claude-fable", "api_base": anthropic_api.url, "api_key": SECRET, **PRICES}
    document = config({"model_name": "claude", "litellm_params": params})
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        yield proxy


def client_of(proxy: Proxy, **options: Any) -> AsyncAnthropic:
    given: dict[str, Any] = {"api_key": MASTER_KEY, "max_retries": 0}
    return AsyncAnthropic(base_url=proxy.url, **given | options)


async def test_a_message_is_one_span(claude: Proxy, anthropic_api: AnthropicBackend, sink: Sink) -> None:
    async with client_of(claude) as client:
        message = await client.messages.create(
            model="claude", max_tokens=64, system="Be brief.", messages=ASK, metadata={"user_id": "u-1"}
        )

    (span,) = await sink.wait(1)
    assert message.content[0].type == "text"
    assert message.content[0].text == SAID
    assert (span.name, message._request_id) == ("chat claude", span.attributes[c.REQUEST_ID])
    assert (span.attributes[c.PROVIDER], span.attributes[c.USER_ID]) == ("anthropic", "u-1")
    assert [span.attributes[key] for key in COUNTED] == [42, 20, 16, COST_USD]
    assert span.attributes[c.FINISH_REASONS] == ["end_turn"]
    asked = json.loads(span.attributes[c.INPUT_MESSAGES])
    assert [(one["role"], one["parts"][0]["content"]) for one in asked] == [
        ("system", "Be brief."),
        ("user", "Do foxes sleep?"),
    ]
    assert SAID in span.attributes[c.OUTPUT_MESSAGES]
    assert anthropic_api.requests[0]["metadata"] == {"user_id": "u-1"}


async def test_the_backend_gets_its_own_key_and_the_betas_that_are_harmless(
    claude: Proxy, anthropic_api: AnthropicBackend
) -> None:
    await claude.post(
        BODY | {"api_base": "http://127.0.0.1:1"},
        "/v1/messages",
        x_api_key="sk-mine",
        anthropic_beta="context-1m-2025-08-07, oauth-2025-04-20,EVIL",
        anthropic_version="2023-01-01",
    )

    (seen,) = anthropic_api.headers
    assert (seen["x-api-key"], seen["anthropic-beta"], seen["anthropic-version"]) == (
        SECRET,
        "context-1m-2025-08-07",
        "2023-01-01",
    )
    assert "authorization" not in seen
    assert anthropic_api.requests == [BODY | {"model": "claude-fable"}]


@pytest.mark.parametrize("options", [{"api_key": MASTER_KEY}, {"api_key": None, "auth_token": MASTER_KEY}])
async def test_a_key_may_come_in_either_header(claude: Proxy, options: dict[str, Any]) -> None:
    async with client_of(claude, **options) as client:
        message = await client.messages.create(model="claude", max_tokens=64, messages=ASK)

    assert message.stop_reason == "end_turn"


async def test_a_message_streams_with_its_thoughts_and_cache_writes(claude: Proxy, sink: Sink) -> None:
    async with (
        client_of(claude) as client,
        client.messages.stream(
            model="claude",
            max_tokens=4096,
            system=CACHED,
            messages=ASK,
            thinking={"type": "enabled", "budget_tokens": 1024},
        ) as stream,
    ):
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()

    (span,) = await sink.wait(1)
    assert text == SAID
    assert [block.type for block in final.content] == ["thinking", "text"]
    keys = (c.INPUT_TOKENS, c.CACHE_READ_TOKENS, c.CACHE_WRITE_TOKENS, c.CACHE_WRITE_1H_TOKENS, c.OUTPUT_TOKENS)
    assert [span.attributes[key] for key in keys] == [142, 16, 100, 40, 20]
    assert span.attributes[c.STREAM_END] == "done"
    (message,) = json.loads(span.attributes[c.OUTPUT_MESSAGES])
    assert [part["type"] for part in message["parts"]] == ["reasoning", "text"]


async def test_tools_are_called_and_answered(claude: Proxy, sink: Sink) -> None:
    result: MessageParam = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "toolu_0", "content": "sunny"}],
    }
    async with client_of(claude) as client:
        message = await client.messages.create(
            model="claude", max_tokens=64, tools=TOOLS, messages=[*ASK, {"role": "assistant", "content": "…"}, result]
        )

    (span,) = await sink.wait(1)
    assert message.content[0].type == "tool_use"
    assert message.content[0].input == {"city": "Rome"}
    assert json.loads(span.attributes[c.INPUT_MESSAGES])[2]["parts"] == [
        {"type": "tool_call_response", "id": "toolu_0", "response": "sunny"}
    ]
    assert json.loads(span.attributes[c.OUTPUT_MESSAGES])[0]["parts"][0]["arguments"] == {"city": "Rome"}


async def test_counting_tokens_uses_none(claude: Proxy, sink: Sink) -> None:
    async with client_of(claude) as client:
        counted = await client.messages.count_tokens(model="claude", messages=ASK)

    (span,) = await sink.wait(1)
    assert counted.input_tokens == COUNTED_TOKENS
    assert (span.attributes[c.INPUT_TOKENS], span.attributes[c.OUTPUT_TOKENS]) == (0, 0)
    assert c.OPERATION not in span.attributes


@pytest.mark.parametrize(
    ("mood", "kind", "error"),
    [
        ("400", "invalid_request_error", anthropic.BadRequestError),
        ("404", "not_found_error", anthropic.NotFoundError),
        ("413", "request_too_large", anthropic.RequestTooLargeError),
        ("429", "rate_limit_error", anthropic.RateLimitError),
        ("529", "overloaded_error", anthropic.OverloadedError),
    ],
)
async def test_errors_raise_the_clients_own_classes(
    claude: Proxy, anthropic_api: AnthropicBackend, mood: str, kind: str, error: type[anthropic.APIStatusError]
) -> None:
    anthropic_api.moods.extend([mood, mood])

    async with client_of(claude) as client:
        with pytest.raises(error) as caught:
            await client.messages.create(model="claude", max_tokens=64, messages=ASK)

    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert SECRET not in str(caught.value)


async def test_the_gateways_own_refusals_are_in_anthropics_shape(claude: Proxy) -> None:
    async with client_of(claude) as client, client_of(claude, api_key="sk-wrong-key-0000000000") as stranger:
        with pytest.raises(anthropic.NotFoundError, match="does not exist"):
            await client.messages.create(model="owl", max_tokens=64, messages=ASK)
        with pytest.raises(anthropic.BadRequestError, match="messages must be a list"):
            await client.messages.create(model="claude", max_tokens=64, messages=[])
        with pytest.raises(anthropic.AuthenticationError):
            await stranger.messages.create(model="claude", max_tokens=64, messages=ASK)


@pytest.mark.parametrize("mood", ["close early", "error inside"])
async def test_an_error_inside_a_stream_raises(
    claude: Proxy, anthropic_api: AnthropicBackend, sink: Sink, mood: str
) -> None:
    anthropic_api.moods.append(mood)

    async with client_of(claude) as client:
        with pytest.raises(anthropic.APIStatusError) as caught:
            async with client.messages.stream(model="claude", max_tokens=64, messages=ASK) as stream:
                await stream.get_final_message()

    (span,) = await sink.wait(1)
    assert (span.error, span.attributes[c.STREAM_END]) == (True, "upstream_error")
    assert (span.attributes[c.INPUT_TOKENS], span.attributes[c.USAGE_ESTIMATED]) == (42, True)
    assert SECRET not in str(caught.value)


def ask_in_thread(proxy: Proxy) -> str:
    with (
        Anthropic(base_url=proxy.url, api_key=MASTER_KEY) as client,
        client.messages.stream(model="claude", max_tokens=64, messages=ASK) as stream,
    ):
        return "".join(stream.text_stream)


async def test_the_synchronous_client_streams(claude: Proxy) -> None:
    assert await asyncio.to_thread(ask_in_thread, claude) == SAID


async def test_vllm_is_asked_as_it_is(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    async with client_of(proxy) as client:
        whole = await client.messages.create(model="fox", max_tokens=64, messages=ASK)
        async with client.messages.stream(model="fox", max_tokens=64, messages=ASK) as stream:
            text = "".join([piece async for piece in stream.text_stream])

    spans = await sink.wait(2)
    assert whole.content[0].type == "text"
    assert (whole.content[0].text, text) == (TEXT, TEXT)
    assert backend.paths == ["/v1/messages"] * 2
    assert {seen["authorization"] for seen in backend.headers} == {f"Bearer {SECRET}"}
    for span in spans:
        assert [span.attributes[key] for key in COUNTED] == [42, 20, 16, COST_USD]
