"""The simulated server's bodies have the keys, nulls and order of events that vLLM 0.32 was seen to send."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from spanwell.demo.simulator import Simulator

CAPTURES = Path(__file__).parent / "captures"
UNARY = json.loads((CAPTURES / "unary.json").read_text())
STREAMS = json.loads((CAPTURES / "streams.json").read_text())
ERRORS = json.loads((CAPTURES / "errors.json").read_text())
MODEL = "sim-llama-8b-v1"
CHAT = "/v1/chat/completions"
HELLO = {"model": MODEL, "messages": [{"role": "user", "content": "Where is my parcel?"}]}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=Simulator(time_scale=0))
    async with httpx.AsyncClient(transport=transport, base_url="http://simulated") as client:
        yield client


def structure(value: Any) -> Any:
    """Keys in their order, and where a null stands; a list counts by its first item."""
    if isinstance(value, dict):
        return [(key, structure(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [structure(item) for item in value[:1]]
    return None if value is None else "value"


def events(body: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]


async def test_a_chat_answer_has_every_key_and_null(http: httpx.AsyncClient) -> None:
    answer = await http.post(CHAT, json=HELLO)

    assert structure(answer.json()) == structure(UNARY["chat"])


async def test_logprobs_have_their_shape(http: httpx.AsyncClient) -> None:
    answer = await http.post(CHAT, json={**HELLO, "logprobs": True})

    assert structure(answer.json()) == structure(UNARY["chat_logprobs"])


async def test_a_completion_has_every_key(http: httpx.AsyncClient) -> None:
    answer = (await http.post("/v1/completions", json={"model": MODEL, "prompt": "Where is my parcel?"})).json()

    assert answer.keys() == UNARY["completion"].keys()
    assert answer["choices"][0].keys() == UNARY["completion"]["choices"][0].keys()
    assert answer["usage"].keys() == UNARY["completion"]["usage"].keys()


@pytest.mark.parametrize(
    ("capture", "options"),
    [
        ("plain", {}),
        ("include_usage", {"stream_options": {"include_usage": True}}),
        ("continuous", {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}),
    ],
)
async def test_a_stream_has_the_same_kinds_of_chunks(
    http: httpx.AsyncClient, capture: str, options: dict[str, Any]
) -> None:
    body = (await http.post(CHAT, json={**HELLO, "stream": True, **options})).text

    seen, recorded = events(body), STREAMS[capture]
    tail = 2 if options else 1
    assert [structure(event) for event in seen[:2]] == [structure(event) for event in recorded[:2]]
    assert [structure(event) for event in seen[-tail:]] == [structure(event) for event in recorded[-tail:]]
    assert body.endswith("data: [DONE]\n\n")


async def test_chunks_without_continuous_usage_have_no_usage_key(http: httpx.AsyncClient) -> None:
    request = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}

    chunks = events((await http.post(CHAT, json=request)).text)

    assert [index for index, chunk in enumerate(chunks) if "usage" in chunk] == [len(chunks) - 1]


@pytest.mark.parametrize(
    ("capture", "body"),
    [
        ("model", {**HELLO, "model": "nope"}),
        ("schema", {**HELLO, "messages": "zzz"}),
        ("ctx", {**HELLO, "max_tokens": 99999}),
        ("temp", {**HELLO, "temperature": -1}),
        ("longprompt", {**HELLO, "messages": [{"role": "user", "content": "refund " * 9000}]}),
    ],
)
async def test_a_refusal_has_the_same_status_type_and_parameter(
    http: httpx.AsyncClient, capture: str, body: dict[str, Any]
) -> None:
    answer = await http.post(CHAT, json=body)

    recorded = ERRORS[capture]["error"]
    refusal = answer.json()["error"]
    assert answer.status_code == recorded["code"]
    assert list(refusal) == list(recorded)
    assert {**refusal, "message": ""} == {**recorded, "message": ""}


async def test_refusals_are_worded_as_recorded(http: httpx.AsyncClient) -> None:
    schema = await http.post(CHAT, json={**HELLO, "messages": "zzz"})
    temperature = await http.post(CHAT, json={**HELLO, "temperature": -1})

    assert schema.json() == ERRORS["schema"]
    assert temperature.json() == ERRORS["temp"]


async def test_a_body_that_is_not_json_names_the_place(http: httpx.AsyncClient) -> None:
    answer = await http.post(CHAT, content=b'{"model": "tiny"')

    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, ERRORS["json"]["error"]["type"])
    assert error["param"].startswith("body.")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", "hot"),
        ("temperature", True),
        ("max_tokens", 1.5),
        ("n", "two"),
        ("stream", "yes"),
        ("stream_options", []),
        ("tools", [{"type": "function"}]),
        ("messages", ["hi"]),
        ("messages", [{"role": "assistant", "tool_calls": [{}]}]),
    ],
)
async def test_a_field_of_the_wrong_type_is_named(http: httpx.AsyncClient, field: str, value: object) -> None:
    answer = await http.post(CHAT, json={**HELLO, field: value})

    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "Bad Request")
    assert error["param"].startswith(f"body.{field}")


@pytest.mark.parametrize(
    "extra", [{"messages": []}, {"messages": [], "tools": []}, {"response_format": {"type": "text"}}]
)
async def test_unusual_requests_are_answered(http: httpx.AsyncClient, extra: dict[str, Any]) -> None:
    assert (await http.post(CHAT, json={**HELLO, **extra})).status_code == 200


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/nothing"])
async def test_a_route_that_is_not_served_is_fastapis_404(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.post(path, json={})

    assert (answer.status_code, answer.json()) == (404, ERRORS["embeddings"])


async def test_the_model_list_has_the_same_keys_and_says_simulated(http: httpx.AsyncClient) -> None:
    models = (await http.get("/v1/models")).json()

    card, recorded = models["data"][0], UNARY["models"]["data"][0]
    assert card.keys() == recorded.keys()
    assert card["permission"][0].keys() == recorded["permission"][0].keys()
    assert {model["owned_by"] for model in models["data"]} == {"simulated"}


async def test_small_pages_have_their_shape(http: httpx.AsyncClient) -> None:
    health, version, load = [await http.get(path) for path in ("/health", "/version", "/load")]

    assert (health.status_code, health.content) == (200, b"")
    assert version.json().keys() == UNARY["version"].keys()
    assert load.json() == UNARY["load"]


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/metrics", "/nothing"])
async def test_every_answer_says_that_it_is_simulated(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).headers["x-simulated"] == "true"


async def test_the_request_id_names_the_answer(http: httpx.AsyncClient) -> None:
    answer = await http.post(CHAT, json=HELLO, headers={"X-Request-Id": "abc"})

    assert answer.json()["id"] == "chatcmpl-abc"
    assert answer.headers["x-request-id"] == "abc"


async def test_load_is_reported_in_the_format_that_was_asked_for(http: httpx.AsyncClient) -> None:
    as_json = await http.post(CHAT, json=HELLO, headers={"endpoint-load-metrics-format": "json"})
    as_text = await http.post(CHAT, json=HELLO, headers={"endpoint-load-metrics-format": "text"})

    named = json.loads(as_json.headers["endpoint-load-metrics"].removeprefix("JSON "))["named_metrics"]
    assert named.keys() == {"num_requests_waiting", "kv_cache_usage_perc"}
    assert as_text.headers["endpoint-load-metrics"].startswith("TEXT named_metrics.num_requests_waiting=0.0")


async def test_a_repeated_prompt_is_cached_in_whole_blocks(http: httpx.AsyncClient) -> None:
    request = {"model": MODEL, "messages": [{"role": "user", "content": "one two three four " * 20}]}

    first, second = [(await http.post(CHAT, json=request)).json()["usage"] for _ in range(2)]

    blocks = (first["prompt_tokens"] - 1) // 16 * 16
    details = [usage["prompt_tokens_details"] for usage in (first, second)]
    assert [detail["cached_tokens"] for detail in details] == [0, blocks]
    assert [detail["created_cache_tokens"] for detail in details] == [blocks, 0]


async def test_metrics_move_with_traffic(http: httpx.AsyncClient) -> None:
    usage = (await http.post(CHAT, json=HELLO)).json()["usage"]

    text = (await http.get("/metrics")).text
    labels = f'engine="0",model_name="{MODEL}"'
    assert f"vllm:prompt_tokens_total{{{labels}}} {float(usage['prompt_tokens'])}" in text
    assert f"vllm:generation_tokens_total{{{labels}}} {float(usage['completion_tokens'])}" in text
    assert f'vllm:request_success_total{{{labels},finished_reason="stop"}} 1.0' in text
    assert f"vllm:num_requests_running{{{labels}}} 0.0" in text
    assert f'vllm:e2e_request_latency_seconds_bucket{{{labels},le="+Inf"}} 1.0' in text
    assert f"vllm:time_to_first_token_seconds_count{{{labels}}} 1.0" in text
