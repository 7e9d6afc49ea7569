import asyncio
import json

import openai
import pytest

from spanwell import conventions as c
from tests.proxy.backend import SECRET, USAGE, WORDS, Backend
from tests.proxy.gateway import ASK, COST_USD, MASTER_KEY, Proxy
from tests.proxy.sink import Sink

QUESTION = {"role": "user", "parts": [{"type": "text", "content": "Do foxes sleep?"}]}
ANSWER = {
    "role": "assistant",
    "parts": [{"type": "text", "content": "".join(WORDS)}],
    "finish_reason": "stop",
}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


async def test_a_unary_call_is_answered_and_becomes_one_span(proxy: Proxy, sink: Sink) -> None:
    async with proxy.client() as client:
        answer = await client.chat.completions.create(
            model="fox", messages=[{"role": "user", "content": "Do foxes sleep?"}], temperature=0.5, max_tokens=64
        )

    (span,) = await sink.wait(1)
    assert "".join(WORDS) == answer.choices[0].message.content
    assert span.name == "chat fox"
    assert not span.error
    assert {
        c.OPERATION: "chat",
        c.PROVIDER: "vllm",
        c.REQUEST_MODEL: "fox",
        c.RESPONSE_MODEL: "tiny",
        c.RESPONSE_ID: "chatcmpl-1",
        c.FINISH_REASONS: ["stop"],
        c.STREAM: False,
        c.TEMPERATURE: 0.5,
        c.MAX_TOKENS: 64,
        c.HTTP_STATUS: 200,
        c.INPUT_TOKENS: 42,
        c.OUTPUT_TOKENS: 20,
        c.CACHE_READ_TOKENS: 16,
        c.COST_USD: COST_USD,
        c.ATTEMPTS: 1,
        c.DEPLOYMENT: "fox-0",
        c.INPUT_MESSAGES: json.dumps([QUESTION], separators=(",", ":")),
        c.OUTPUT_MESSAGES: json.dumps([ANSWER], separators=(",", ":")),
    }.items() <= span.attributes.items()


def ask_in_thread(proxy: Proxy) -> str:
    with openai.OpenAI(base_url=proxy.url + "/v1", api_key=MASTER_KEY) as client:
        stream = client.chat.completions.create(
            model="fox", messages=[{"role": "user", "content": "Do foxes sleep?"}], stream=True
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


async def test_the_synchronous_client_streams(proxy: Proxy, sink: Sink) -> None:
    text = await asyncio.to_thread(ask_in_thread, proxy)

    (span,) = await sink.wait(1)
    assert "".join(WORDS) == text
    assert (span.attributes[c.STREAM], span.attributes[c.STREAM_END]) == (True, "done")
    assert 0 < span.attributes[c.TIME_TO_FIRST_CHUNK_S] <= span.duration_s
    assert tuple(span.attributes[key] for key in (c.INPUT_TOKENS, c.OUTPUT_TOKENS, c.COST_USD)) == (42, 20, COST_USD)
    assert json.loads(span.attributes[c.OUTPUT_MESSAGES]) == [ANSWER]


@pytest.mark.parametrize("mood", ["well", "usage at finish", "usage everywhere", "usage with choice"])
async def test_usage_is_taken_wherever_it_stands_and_hidden_again(
    proxy: Proxy, backend: Backend, sink: Sink, mood: str
) -> None:
    backend.moods.append(mood)

    reply = await proxy.post(ASK | {"stream": True})

    (span,) = await sink.wait(1)
    assert backend.requests[0]["stream_options"] == {"include_usage": True}
    assert "usage" not in reply.text
    assert reply.text.endswith("data: [DONE]\n\n")
    assert (span.attributes[c.INPUT_TOKENS], span.attributes[c.OUTPUT_TOKENS]) == (42, 20)
    assert c.USAGE_ESTIMATED not in span.attributes


async def test_a_client_that_asks_for_usage_gets_it(proxy: Proxy) -> None:
    async with proxy.client() as client:
        stream = await client.chat.completions.create(
            model="fox",
            messages=[{"role": "user", "content": "Do foxes sleep?"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]

    assert chunks[-1].usage
    assert USAGE["total_tokens"] == chunks[-1].usage.total_tokens


async def test_a_backend_without_usage_has_its_tokens_guessed_and_marked(
    proxy: Proxy, backend: Backend, sink: Sink
) -> None:
    backend.moods.append("no usage")

    await proxy.post(ASK | {"stream": True})

    (span,) = await sink.wait(1)
    assert span.attributes[c.USAGE_ESTIMATED] is True
    assert len(WORDS) + 1 == span.attributes[c.OUTPUT_TOKENS]


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_arrive_whole(proxy: Proxy, sink: Sink, stream: bool) -> None:
    reply = await proxy.post(ASK | {"tools": TOOLS, "stream": stream})

    (span,) = await sink.wait(1)
    assert reply.status_code == 200
    (message,) = json.loads(span.attributes[c.OUTPUT_MESSAGES])
    (part,) = message["parts"]
    assert (part["type"], part["name"], part["arguments"]) == ("tool_call", "weather", {"city": "Rome"})
    assert span.attributes[c.FINISH_REASONS] == ["tool_calls"]


async def test_errors_raise_the_clients_own_classes(proxy: Proxy, backend: Backend) -> None:
    backend.moods.append("400")
    async with proxy.client() as client, proxy.client("sk-wrong-key-000000000000") as stranger:
        with pytest.raises(openai.BadRequestError, match="temperature must be"):
            await client.chat.completions.create(model="fox", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            await client.chat.completions.create(model="owl", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(openai.AuthenticationError):
            await stranger.chat.completions.create(model="fox", messages=[{"role": "user", "content": "x"}])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"messages": [{}]}', "model"),
        (b'{"model": "fox", "messages": [{"content": ' + b"[" * 400 + b"]" * 400 + b"}]}", None),
        (b'{"model": "fox", "messages": "hi"}', "messages"),
        (b'{"model": "fox", "messages": [{"role": "user"}], "stream": "yes"}', "stream"),
    ],
)
async def test_a_bad_body_is_refused_by_name_and_still_a_span(
    proxy: Proxy, sink: Sink, body: bytes, param: str | None
) -> None:
    reply = await proxy.post(body)

    (span,) = await sink.wait(1)
    assert reply.status_code == 400
    assert {"message", "type", "param", "code"} == reply.json()["error"].keys()
    assert param == reply.json()["error"]["param"]
    assert (span.error, span.attributes[c.ERROR_TYPE]) == (True, "invalid_request")


async def test_a_wrong_key_leaves_no_span(proxy: Proxy, sink: Sink) -> None:
    reply = await proxy.post(authorization="Bearer sk-wrong-key-000000000000")
    await proxy.post()

    await sink.wait(1)
    assert reply.status_code == 401
    assert "llm_unauthorized_total" in (await proxy.get("/metrics")).text


async def test_a_body_beyond_the_bound_is_refused(proxy: Proxy) -> None:
    reply = await proxy.post(b" " * (33 * 1024 * 1024))

    assert reply.status_code == 413


async def test_where_a_call_goes_is_never_taken_from_its_body(proxy: Proxy, backend: Backend) -> None:
    await proxy.post(ASK | {"api_base": "http://127.0.0.1:1", "api_key": "x", "extra_headers": {"a": "b"}, "top_p": 1})

    assert {"model": "tiny", "messages": ASK["messages"], "top_p": 1} == backend.requests[0]


async def test_the_backend_sees_the_trace_and_our_key_but_not_the_clients(proxy: Proxy, backend: Backend) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    reply = await proxy.post(None, traceparent=trace, x_request_id="my-req-1", cookie="a=b", x_spanwell_user="u")

    (seen,) = backend.headers
    assert f"Bearer {SECRET}" == seen["authorization"]
    assert "my-req-1" == seen["x-request-id"] == reply.headers["x-request-id"]
    assert seen["traceparent"].startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert seen["traceparent"] != reply.headers["traceparent"]  # an attempt is a span of its own
    assert not {"cookie", "x-spanwell-user"} & seen.keys()


async def test_a_call_is_part_of_the_callers_trace(proxy: Proxy, sink: Sink) -> None:
    reply = await proxy.post(None, traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")

    (span,) = await sink.wait(1)
    assert (span.trace_id, span.parent_id) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert f"00-{span.trace_id}-{span.span_id}-01" == reply.headers["traceparent"]


async def test_headers_name_the_caller_before_the_body_does(proxy: Proxy, sink: Sink) -> None:
    said = {"user": "body-user", "metadata": {"session_id": "s-1", "app": "body-app"}}

    await proxy.post(ASK | said, x_spanwell_app="header-app", x_spanwell_purpose="judge")

    (span,) = await sink.wait(1)
    named = {key: span.attributes.get(key) for key in (c.APP, c.USER_ID, c.SESSION_ID, c.PURPOSE)}
    assert named == {c.APP: "header-app", c.USER_ID: "body-user", c.SESSION_ID: "s-1", c.PURPOSE: "judge"}


async def test_models_are_listed(proxy: Proxy) -> None:
    async with proxy.client() as client:
        models = await client.models.list()

    assert [model.id for model in models.data] == ["fox"]


async def test_a_unary_answer_carries_its_cost_and_our_overhead(proxy: Proxy) -> None:
    reply = await proxy.post()

    assert reply.headers["x-spanwell-cost-usd"] == COST_USD
    assert 0 < float(reply.headers["x-spanwell-overhead-ms"]) < 1000
