import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
from anthropic import APIStatusError, AsyncAnthropic

from spanwell import conventions as c
from tests.proxy import backend as shaped
from tests.proxy.anthropic_backend import SIGNATURE, THOUGHTS, TOO_LONG, WORDS, AnthropicBackend, running_anthropic
from tests.proxy.backend import SECRET, Backend, running_backend, until
from tests.proxy.gateway import Proxy, config, running_proxy
from tests.proxy.lane.lanes import lane_pids
from tests.proxy.sink import Seen, Sink, running_sink

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION: list[Any] = [{"role": "user", "content": "Do foxes sleep?"}]
CACHED: list[Any] = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "Foxes.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    }
]
ASK: dict[str, Any] = {"model": "claude/claude-sonnet-4-5", "messages": QUESTION, "max_tokens": 4096}
PRICES = {
    "input_cost_per_token": 3e-6,
    "output_cost_per_token": 15e-6,
    "cache_read_input_token_cost": 3e-7,
    "cache_creation_input_token_cost": 4e-6,
    "cache_creation_input_token_cost_above_1hr": 6e-6,
}
# Anthropic counts cached tokens beside the others: 42 sent, 16 of them cached, 20 received
COST_USD = "0.0003828"
WRITTEN_USD = "0.0008628"  # and 60 written for five minutes, 40 for an hour
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS, "strict": True}}]
SCHEMA: Any = {"type": "json_schema", "json_schema": {"name": "fox", "schema": PARAMETERS}}
NPM = Path(__file__).parents[1] / "npm"
PIXEL = "data:image/png;base64,iVBORw0KGgo="


@dataclass
class Poet:
    """A proxy in front of a backend of Anthropic's dialect and one of OpenAI's."""

    proxy: Proxy
    backend: AnthropicBackend
    shaped: Backend
    sink: Sink
    session: int = 0  # counts the tests: the spans of one may come when the next has begun

    @property
    def headers(self) -> dict[str, str]:
        return {c.HEADER_SESSION: f"test-{self.session}"}

    def openai(self) -> openai.AsyncOpenAI:
        return self.proxy.client(timeout=60, default_headers=self.headers)

    def anthropic(self) -> AsyncAnthropic:
        url, key = self.proxy.url, self.proxy.key
        return AsyncAnthropic(base_url=url, api_key=key, max_retries=0, timeout=60.0, default_headers=self.headers)

    async def post(self, **asked: Any) -> httpx.Response:
        return await self.proxy.post(ASK | asked, x_spanwell_session=f"test-{self.session}")

    async def spans(self, count: int = 1) -> list[Seen]:
        """The calls of this test."""

        def found() -> list[Seen]:
            return [span for span in self.sink.spans if span.attributes.get(c.SESSION_ID) == f"test-{self.session}"]

        await until(lambda: len(found()) >= count)
        assert count == len(found())
        return found()


# One for all: a lane takes seconds to start.
@pytest_asyncio.fixture(name="house", scope="module", loop_scope="module")
async def running_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Poet]:
    async with running_sink() as sink, running_anthropic() as backend, running_backend() as other:
        claude = {"model": "anthropic/*", "api_base": backend.url, "api_key": SECRET, **PRICES}
        gpt = {"model": "openai/tiny", "api_base": other.url, "api_key": SECRET}
        document = config(
            {"model_name": "claude/*", "litellm_params": claude},
            {"model_name": "gpt", "litellm_params": gpt},
            router_settings={"num_retries": 0},
        )
        async with running_proxy(tmp_path_factory.mktemp("lane"), document, sink.port) as proxy:
            yield Poet(proxy, backend, other, sink)
    assert lane_pids() == []


@pytest.fixture
def poet(house: Poet) -> Poet:
    house.backend.forget()
    house.shaped.requests.clear()
    house.shaped.moods.clear()
    house.session += 1
    return house


async def test_another_dialect_is_translated_whole_and_streamed(poet: Poet) -> None:
    async with poet.openai() as client:
        whole = await client.chat.completions.create(**ASK)
        stream = await client.chat.completions.create(**ASK, stream=True)
        chunks = [chunk async for chunk in stream]

    spans = await poet.spans(2)
    assert "".join(WORDS) == whole.choices[0].message.content
    assert "".join(WORDS) == "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert not any(chunk.usage for chunk in chunks)
    assert [headers["x-api-key"] for headers in poet.backend.headers] == [SECRET] * 2
    assert {request["model"] for request in poet.backend.requests} == {"claude-sonnet-4-5"}
    assert {headers["traceparent"][3:35] for headers in poet.backend.headers} == {span.trace_id for span in spans}
    for span in spans:
        keys = (c.PROVIDER, c.INPUT_TOKENS, c.CACHE_READ_TOKENS, c.OUTPUT_TOKENS, c.COST_USD, c.FINISH_REASONS)
        assert [span.attributes[key] for key in keys] == ["anthropic", 42, 16, 20, COST_USD, ["stop"]]
        assert json.dumps("".join(WORDS)) in span.attributes[c.OUTPUT_MESSAGES]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_written_to_the_cache_is_billed_by_how_long_it_is_kept(poet: Poet, stream: bool) -> None:
    reply = await poet.post(messages=CACHED, stream=stream)

    (span,) = await poet.spans()
    assert reply.status_code == 200
    assert poet.backend.requests[0]["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert (span.attributes[c.INPUT_TOKENS], span.attributes[c.COST_USD]) == (142, WRITTEN_USD)


async def test_tools_pictures_schemas_and_thoughts_arrive(poet: Poet) -> None:
    picture = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    messages: list[Any] = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": picture}]
    asked: dict[str, Any] = ASK | {"messages": messages, "tools": TOOLS, "response_format": SCHEMA}

    async with poet.openai() as client:
        answer = await client.chat.completions.create(**asked, reasoning_effort="low", stop=["."], temperature=1)

    (request,) = poet.backend.requests
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls
    assert message.tool_calls[0].to_dict()["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}
    assert "".join(THOUGHTS) == message.to_dict()["reasoning_content"]
    assert request["system"][0]["text"] == "Be brief"
    assert request["messages"][0]["content"][1]["source"]["data"] == PIXEL.partition(",")[2]
    assert request["thinking"]["type"] == "enabled"
    assert request["stop_sequences"] == ["."]


async def test_streamed_tool_calls_and_thoughts_arrive_whole(poet: Poet) -> None:
    async with (
        poet.openai() as client,
        client.chat.completions.stream(**ASK, tools=TOOLS, reasoning_effort="low") as stream,
    ):
        answer = await stream.get_final_completion()

    message = answer.choices[0].message.to_dict()
    assert message["tool_calls"][0]["function"]["arguments"] == '{"city": "Rome"}'  # type: ignore[index]
    assert "".join(THOUGHTS) == message["reasoning_content"]
    assert message["thinking_blocks"][-1]["signature"] == SIGNATURE  # type: ignore[index]


async def test_text_completions_come_from_a_backend_of_chats(poet: Poet) -> None:
    asked: dict[str, Any] = {"model": ASK["model"], "prompt": "Do foxes", "max_tokens": 64}

    async with poet.openai() as client:
        whole = await client.completions.create(**asked)
        stream = await client.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]

    assert "".join(WORDS) == whole.choices[0].text
    assert "".join(WORDS) == "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.prompt_tokens == 42


async def test_responses_come_from_a_backend_of_chats(poet: Poet) -> None:
    asked: dict[str, Any] = {"model": ASK["model"], "input": "Do foxes sleep?", "instructions": "Be brief"}

    async with poet.openai() as client:
        whole = await client.responses.create(**asked, max_output_tokens=4096)
        async with client.responses.stream(**asked, max_output_tokens=4096) as stream:
            streamed = await stream.get_final_response()

    for response in (whole, streamed):
        assert "".join(WORDS) == response.output_text
        assert (response.status, response.instructions) == ("completed", "Be brief")
        assert response.usage
        assert (response.usage.input_tokens, response.usage.input_tokens_details.cached_tokens) == (42, 16)
    assert [span.attributes[c.COST_USD] for span in await poet.spans(2)] == [COST_USD] * 2


async def test_a_conversation_of_responses_keeps_its_calls_and_signed_thoughts(poet: Poet) -> None:
    tools: list[Any] = [{"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": False}]
    asked: dict[str, Any] = {"model": ASK["model"], "tools": tools, "reasoning": {"effort": "low"}}
    said: list[Any] = [{"role": "user", "content": "Is it warm in Rome?"}]

    async with poet.openai() as client:
        first = await client.responses.create(input=said, **asked)
        said += [item.to_dict() for item in first.output]
        said.append({"type": "function_call_output", "call_id": first.output[-1].to_dict()["call_id"], "output": "21"})
        await client.responses.create(input=said, **asked)

    _, answered, result = poet.backend.requests[-1]["messages"]
    thought, call = answered["content"]
    assert (thought["type"], thought["signature"]) == ("thinking", SIGNATURE)
    assert (call["type"], call["input"]) == ("tool_use", {"city": "Rome"})
    assert (result["content"][0]["type"], result["content"][0]["tool_use_id"]) == ("tool_result", call["id"])


async def test_anthropics_client_reaches_a_backend_of_openais_dialect(poet: Poet) -> None:
    asked: dict[str, Any] = {"model": "gpt", "max_tokens": 64, "messages": QUESTION, "system": "Be brief"}

    async with poet.anthropic() as client:
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            streamed = await stream.get_final_message()

    for message in (whole, streamed):
        assert ["".join(shaped.WORDS)] == [block.to_dict()["text"] for block in message.content]
        assert message.stop_reason == "end_turn"
        assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (26, 16)
    assert [message["role"] for message in poet.shaped.requests[0]["messages"]] == ["system", "user"]
    for span in await poet.spans(2):
        assert (span.attributes[c.INPUT_TOKENS], span.attributes[c.OUTPUT_TOKENS]) == (42, 20)


async def test_anthropics_tools_work_on_a_backend_of_openais_dialect(poet: Poet) -> None:
    tools: list[Any] = [{"name": "weather", "input_schema": PARAMETERS}]
    said: list[Any] = [*QUESTION]

    async with poet.anthropic() as client:
        async with client.messages.stream(model="gpt", max_tokens=64, messages=said, tools=tools) as stream:
            first = await stream.get_final_message()
        result = {"type": "tool_result", "tool_use_id": first.content[0].to_dict()["id"], "content": "21"}
        said += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        await client.messages.create(model="gpt", max_tokens=64, messages=said, tools=tools)

    _, called, returned = poet.shaped.requests[-1]["messages"]
    assert (first.stop_reason, first.content[0].to_dict()["input"]) == ("tool_use", {"city": "Rome"})
    assert json.loads(called["tool_calls"][0]["function"]["arguments"]) == {"city": "Rome"}
    assert (returned["role"], returned["content"], returned["tool_call_id"]) == ("tool", "21", "call_1")


@pytest.mark.npm
async def test_the_javascript_clients_notice_nothing(poet: Poet) -> None:
    process = await asyncio.create_subprocess_exec(
        "node", "translated.mjs", poet.proxy.url, poet.proxy.key, cwd=NPM, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        printed, _ = await process.communicate()

    call = ["weather", {"city": "Rome"}]
    told = {"chat": call, "response": call, "message": call, "text": "".join(shaped.WORDS), "counted": True}
    assert told == json.loads(printed)


async def test_tokens_are_counted_without_a_call(poet: Poet) -> None:
    async with poet.anthropic() as client:
        counted = await client.messages.count_tokens(model="gpt", messages=QUESTION, system="Be brief")

    assert 8 <= counted.input_tokens <= 30
    assert poet.shaped.requests == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("mood", "status", "code"),
    [
        ("400", 400, "invalid_request"),
        ("too long", 400, "context_length_exceeded"),
        ("policy", 400, "content_policy_violation"),
        ("401", 502, "upstream_401"),
        ("403", 502, "upstream_403"),
        ("404", 404, "model_not_found"),
        ("413", 413, "request_too_large"),
        ("429", 429, "rate_limit_exceeded"),
        ("500", 500, "upstream_500"),
        ("529", 503, "upstream_overloaded"),
        ("drop", 502, "upstream_unreachable"),
    ],
)
async def test_a_refusal_keeps_its_meaning_and_says_no_secret(
    poet: Poet, mood: str, status: int, code: str, stream: bool
) -> None:
    poet.backend.moods.append(mood)

    reply = await poet.post(stream=stream)

    (span,) = await poet.spans()
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert SECRET not in reply.text + span.message
    assert len(poet.backend.requests) == 1


@pytest.mark.parametrize(
    ("mood", "status", "kind"),
    [
        ("400", 400, "invalid_request_error"),
        ("401", 502, "api_error"),
        ("429", 429, "rate_limit_error"),
        ("drop", 502, "api_error"),
    ],
)
async def test_anthropics_client_is_refused_in_anthropics_words(poet: Poet, mood: str, status: int, kind: str) -> None:
    poet.shaped.moods.append(mood)

    async with poet.anthropic() as client:
        with pytest.raises(APIStatusError) as refused:
            await client.messages.create(model="gpt", max_tokens=64, messages=QUESTION)

    assert isinstance(refused.value.body, dict)
    assert (refused.value.status_code, refused.value.body["error"]["type"]) == (status, kind)
    assert SECRET not in str(refused.value)


async def test_the_providers_words_are_all_that_is_said(poet: Poet) -> None:
    poet.backend.moods.append("too long")

    reply = await poet.post()

    assert reply.json()["error"]["message"] == TOO_LONG


async def test_when_to_come_back_is_handed_on(poet: Poet) -> None:
    poet.backend.moods.append("429")
    poet.backend.retry_after = "7"

    reply = await poet.post()

    assert reply.headers["retry-after"] == "7"


@pytest.mark.parametrize("mood", ["error inside", "close early"])
async def test_a_stream_that_breaks_does_not_end_as_success(poet: Poet, mood: str) -> None:
    poet.backend.moods.append(mood)

    async with poet.openai() as client:
        with pytest.raises(openai.APIError):
            async for _ in await client.chat.completions.create(**ASK, stream=True):
                pass

    (span,) = await poet.spans()
    assert span.error


@pytest.mark.parametrize(("mood", "stream"), [("hang", False), ("hang", True), ("slow", True)])
async def test_who_leaves_takes_the_call_back_from_the_provider(poet: Poet, mood: str, stream: bool) -> None:
    poet.backend.moods.append(mood)
    asking = asyncio.create_task(poet.post(stream=stream))
    await until(lambda: poet.backend.requests)

    asking.cancel()

    async with asyncio.timeout(1.0):
        await poet.backend.aborted.wait()


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "openai/x"}]}, "tools[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages"),
    ],
)
async def test_what_cannot_be_had_is_refused_by_name(poet: Poet, asked: dict[str, Any], param: str) -> None:
    reply = await poet.post(**asked)

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert poet.backend.requests == []


async def test_pictures_are_not_fetched_from_inside_the_house(poet: Poet) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"http://127.0.0.1:{poet.shaped.port}/v1/models"}}

    reply = await poet.post(messages=[{"role": "user", "content": [picture]}])

    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_image_url")


async def test_a_client_cannot_choose_the_backend(poet: Poet) -> None:
    reply = await poet.post(
        api_base="http://127.0.0.1:1", api_key="x", custom_llm_provider="openai", mock_response="no"
    )

    await poet.spans()
    assert "".join(WORDS) == reply.json()["choices"][0]["message"]["content"]
    assert [headers["x-api-key"] for headers in poet.backend.headers] == [SECRET]


async def test_a_lane_that_dies_is_started_again(poet: Poet) -> None:
    (pid,) = lane_pids()

    os.kill(pid, signal.SIGKILL)
    await until(lambda: pid not in lane_pids())
    again = await poet.post()

    await poet.spans()
    assert again.json()["choices"][0]["message"]["content"] == "".join(WORDS)
