"""OpenAI's stock client on the APIs beside chat."""

import asyncio
import json
from pathlib import Path

import openai
import pytest
from openai import AsyncAzureOpenAI, OpenAI

from spanwell import conventions as c
from tests.proxy.backend import Backend
from tests.proxy.gateway import COST_USD, MASTER_KEY, Proxy, config, deployment, running_proxy
from tests.proxy.shapes import ARGUMENTS, COUNTED_TOKENS, TEXT
from tests.proxy.sink import Sink

QUESTION = [{"role": "user", "parts": [{"type": "text", "content": "Do foxes sleep?"}]}]
COUNTED = (c.INPUT_TOKENS, c.OUTPUT_TOKENS, c.CACHE_READ_TOKENS, c.COST_USD)
TOOL: openai.types.responses.FunctionToolParam = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object"},
    "strict": False,
}


async def test_a_text_completion_is_one_span(proxy: Proxy, sink: Sink) -> None:
    async with proxy.client() as client:
        answer = await client.completions.create(model="fox", prompt="Do foxes sleep?", max_tokens=9)

    (span,) = await sink.wait(1)
    assert answer.choices[0].text == TEXT
    assert span.name == "text_completion fox"
    assert [span.attributes[key] for key in COUNTED] == [42, 20, 16, COST_USD]
    assert json.loads(span.attributes[c.INPUT_MESSAGES]) == QUESTION
    assert TEXT in span.attributes[c.OUTPUT_MESSAGES]


async def test_a_text_completion_streams_without_the_usage_nobody_asked_for(
    proxy: Proxy, backend: Backend, sink: Sink
) -> None:
    async with proxy.client() as client:
        stream = await client.completions.create(model="fox", prompt="x", stream=True)
        chunks = [chunk async for chunk in stream]

    (span,) = await sink.wait(1)
    assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT
    assert not any(chunk.usage for chunk in chunks)
    assert backend.requests[0]["stream_options"] == {"include_usage": True}
    assert [span.attributes[key] for key in COUNTED] == [42, 20, 16, COST_USD]


@pytest.mark.parametrize(
    ("prompt", "count"),
    [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)],
)
async def test_a_prompt_may_be_texts_or_token_ids(
    proxy: Proxy, sink: Sink, prompt: str | list[str] | list[int] | list[list[int]], count: int
) -> None:
    async with proxy.client() as client:
        answer = await client.completions.create(model="fox", prompt=prompt)

    (span,) = await sink.wait(1)
    assert len(answer.choices) == len(json.loads(span.attributes[c.INPUT_MESSAGES])) == count


async def test_embeddings_come_as_the_client_asks_for_them(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    async with proxy.client() as client:
        packed = await client.embeddings.create(model="fox", input=["a", "b"])
        plain = await client.embeddings.create(model="fox", input="a", encoding_format="float")

    spans = await sink.wait(2)
    assert [request["encoding_format"] for request in backend.requests] == ["base64", "float"]
    assert [item.embedding for item in packed.data] == [[0.25, -0.5, 1.0]] * 2
    assert plain.data[0].embedding == [0.25, -0.5, 1.0]
    assert {span.name for span in spans} == {"embeddings fox"}
    for span in spans:
        assert (span.attributes[c.INPUT_TOKENS], span.attributes[c.OUTPUT_TOKENS]) == (42, 0)
        assert not {c.OUTPUT_MESSAGES, c.MAX_TOKENS} & span.attributes.keys()


async def test_a_response_is_one_span(proxy: Proxy, sink: Sink) -> None:
    async with proxy.client() as client:
        raw = await client.responses.with_raw_response.create(
            model="fox", instructions="Be brief.", input="Do foxes sleep?", max_output_tokens=64
        )

    (span,) = await sink.wait(1)
    assert raw.parse().output_text == TEXT
    assert raw.headers["x-spanwell-cost-usd"] == COST_USD
    assert span.name == "chat fox"
    assert [span.attributes[key] for key in COUNTED] == [42, 20, 16, COST_USD]
    assert (span.attributes[c.MAX_TOKENS], span.attributes[c.FINISH_REASONS]) == (64, ["completed"])
    system, user = json.loads(span.attributes[c.INPUT_MESSAGES])
    assert (system["role"], system["parts"][0]["content"], [user]) == ("system", "Be brief.", QUESTION)
    assert TEXT in span.attributes[c.OUTPUT_MESSAGES]


async def test_a_response_streams_as_typed_events(proxy: Proxy, sink: Sink) -> None:
    async with proxy.client() as client, client.responses.stream(model="fox", input="Do foxes sleep?") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()

    (span,) = await sink.wait(1)
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert final.output_text == TEXT
    assert [span.attributes[key] for key in COUNTED] == [42, 20, 16, COST_USD]
    assert 0 < span.attributes[c.TIME_TO_FIRST_CHUNK_S] <= span.duration_s
    assert TEXT in span.attributes[c.OUTPUT_MESSAGES]


async def test_a_responses_tool_calls_and_their_results_are_messages(proxy: Proxy, sink: Sink) -> None:
    async with proxy.client() as client:
        answer = await client.responses.create(
            model="fox",
            tools=[TOOL],
            input=[
                {"role": "user", "content": [{"type": "input_text", "text": "Rome?"}]},
                {"type": "function_call", "call_id": "call_0", "name": "weather", "arguments": ARGUMENTS},
                {"type": "function_call_output", "call_id": "call_0", "output": "sunny"},
            ],
        )

    (span,) = await sink.wait(1)
    assert answer.output[0].type == "function_call"
    asked = json.loads(span.attributes[c.INPUT_MESSAGES])
    assert [(message["role"], message["parts"][0]["type"]) for message in asked] == [
        ("user", "text"),
        ("assistant", "tool_call"),
        ("tool", "tool_call_response"),
    ]
    (said,) = json.loads(span.attributes[c.OUTPUT_MESSAGES])
    assert (said["parts"][0]["name"], said["parts"][0]["arguments"]) == ("weather", {"city": "Rome"})


async def test_conversations_are_counted_and_made_short(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url, model="openai/tiny"))
    async with running_proxy(tmp_path, document, sink.port) as proxy, proxy.client() as client:
        counted = await client.responses.input_tokens.count(model="fox", input="x")
        short = await client.responses.compact(model="fox", input="x")

    first, second = await sink.wait(2)
    assert (counted.input_tokens, short.output[0].type) == (COUNTED_TOKENS, "compaction")
    assert (first.attributes[c.INPUT_TOKENS], c.OPERATION in first.attributes) == (0, False)
    assert [second.attributes[key] for key in COUNTED] == [42, 20, 16, COST_USD]


async def test_an_error_inside_a_stream_of_responses_raises(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    backend.moods.append("garbage")
    backend.pause_s = 0.02  # so that something was said before

    async with proxy.client() as client:
        stream = await client.responses.create(model="fox", input="x", stream=True)
        with pytest.raises(openai.APIError, match="is not of this API"):
            _ = [event async for event in stream]

    (span,) = await sink.wait(1)
    assert (span.error, span.attributes[c.STREAM_END]) == (True, "upstream_error")


async def test_azures_client_names_the_model_in_the_path(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    async with AsyncAzureOpenAI(azure_endpoint=proxy.url, api_key=MASTER_KEY, api_version="2024-10-21") as client:
        chat = await client.chat.completions.create(model="fox", messages=[{"role": "user", "content": "x"}])
        vectors = await client.embeddings.create(model="fox", input="x")
        response = await client.responses.create(model="fox", input="x")

    await sink.wait(3)
    assert (chat.choices[0].message.content, response.output_text) == (TEXT, TEXT)
    assert len(vectors.data) == 1
    assert backend.paths == ["/v1/chat/completions", "/v1/embeddings", "/v1/responses"]
    assert {request["model"] for request in backend.requests} == {"tiny"}


def ask_every_api(proxy: Proxy) -> list[str]:
    with OpenAI(base_url=proxy.url, api_key=MASTER_KEY) as client:  # without /v1
        completion = client.completions.create(model="fox", prompt="x")
        response = client.responses.create(model="fox", input="x")
        pieces = client.completions.create(model="fox", prompt="x", stream=True)
        streamed = "".join(chunk.choices[0].text for chunk in pieces)
        assert client.embeddings.create(model="fox", input="x").data[0].embedding
        return [completion.choices[0].text, response.output_text, streamed]


async def test_the_synchronous_client_is_answered_likewise(proxy: Proxy) -> None:
    assert await asyncio.to_thread(ask_every_api, proxy) == [TEXT] * 3


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {"prompt": 3}, "prompt"),
        ("/v1/completions", {"prompt": "x", "stream": "yes"}, "stream"),
        ("/v1/embeddings", {"input": []}, "input"),
        ("/v1/embeddings", {"input": {"text": "x"}}, "input"),
        ("/v1/responses", {"input": 3}, "input"),
        ("/v1/responses", {"input": "x", "previous_response_id": 3}, "previous_response_id"),
    ],
)
async def test_a_bad_request_is_refused_by_name(
    proxy: Proxy, sink: Sink, path: str, body: dict[str, object], param: str
) -> None:
    reply = await proxy.post({"model": "fox", **body}, path)

    (span,) = await sink.wait(1)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert span.error


@pytest.mark.parametrize("path", ["/v1/embeddings/", "/embeddings", "/openai/v1/embeddings", "/openai/embeddings/"])
async def test_a_path_may_come_without_its_prefix_and_with_a_slash(proxy: Proxy, path: str) -> None:
    reply = await proxy.post({"model": "fox", "input": "x"}, path)

    assert reply.status_code == 200
