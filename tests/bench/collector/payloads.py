"""OTLP requests to measure with: calls as the proxy tells them, 25 attributes each, all ids and texts different."""

import random
import time
from collections.abc import Iterator

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

PROXY_SCOPE = "spanwell.proxy"
MODELS = ("gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5", "Qwen/Qwen3-8B")
WORDS = tuple(f"word{number}" for number in range(20_000))


def make_requests(spans: int, *, per_request: int, text_bytes: int, seed: int = 7) -> Iterator[bytes]:
    """Serialized requests of `per_request` calls, `spans` in all. `text_bytes` is of prompt and completion together."""
    dice = random.Random(seed)
    for first in range(0, spans, per_request):
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        _set(resource.resource.attributes, {"service.name": "bench", "service.instance.id": f"bench-{seed}"})
        _set(resource.resource.attributes, {"spanwell.batch.first": first, "spanwell.batch.spans": per_request})
        scope = resource.scope_spans.add()
        scope.scope.name = PROXY_SCOPE
        for _ in range(min(per_request, spans - first)):
            _add_call(scope.spans, dice, text_bytes)
        yield request.SerializeToString()


def _add_call(spans, dice: random.Random, text_bytes: int) -> None:  # type: ignore[no-untyped-def]
    model, started_ns = dice.choice(MODELS), time.time_ns() - dice.randrange(60_000_000_000)
    span = spans.add(
        trace_id=dice.randbytes(16),
        span_id=dice.randbytes(8),
        name=f"chat {model}",
        kind=3,
        start_time_unix_nano=started_ns,
        end_time_unix_nano=started_ns + dice.randrange(50_000_000, 5_000_000_000),
        status={"code": 1},
    )
    tokens = dice.randrange(50, 4000)
    _set(
        span.attributes,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
            "gen_ai.response.model": model,
            "gen_ai.response.id": f"chatcmpl-{dice.getrandbits(96):x}",
            "gen_ai.response.finish_reasons": "stop",
            "gen_ai.request.stream": True,
            "gen_ai.request.temperature": 0.7,
            "gen_ai.request.max_tokens": 1024,
            "gen_ai.usage.input_tokens": tokens,
            "gen_ai.usage.output_tokens": tokens // 4,
            "gen_ai.usage.cache_read.input_tokens": tokens // 2,
            "gen_ai.response.time_to_first_chunk": dice.random(),
            "http.response.status_code": 200,
            "server.address": "127.0.0.1",
            "server.port": 8000,
            "user.id": f"user-{dice.randrange(2000)}",
            "session.id": f"session-{dice.randrange(10_000)}",
            "spanwell.app": "checkout",
            "spanwell.deployment": f"{model}-0",
            "spanwell.key.id": f"key-{dice.randrange(20)}",
            "spanwell.team": "payments",
            "spanwell.attempts": 1,
            "spanwell.cost_usd": f"0.{dice.randrange(10**9):012d}",
            "spanwell.price_version": "litellm-0123456789ab",
        },
    )
    if text_bytes:
        asked, said = _text(dice, text_bytes * 2 // 3), _text(dice, text_bytes // 3)
        _set(span.attributes, {"gen_ai.input.messages": _message("user", asked)})
        _set(span.attributes, {"gen_ai.output.messages": _message("assistant", said)})


def _text(dice: random.Random, size_bytes: int) -> str:
    return " ".join(dice.choices(WORDS, k=size_bytes // 10))


def _message(role: str, text: str) -> str:
    return orjson.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}]).decode()


def _set(attributes, values: dict[str, str | int | float]) -> None:  # type: ignore[no-untyped-def]
    for key, value in values.items():
        attributes.append(KeyValue(key=key, value=_any(value)))


def _any(value: str | int | float) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=value)
