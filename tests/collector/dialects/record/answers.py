"""What the mock backend answers to each kind of call, and the truth it logs about it.

Every number occurs once, so that one found in a recording names the call it came from.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One call as the backend billed it. `input_tokens` includes the cached and cache-written ones."""

    label: str
    operation: str
    provider: str
    request_model: str
    response_model: str | None = None
    response_id: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    stream: bool = False
    status: str = "ok"
    input_contains: str = ""
    output_contains: str = ""
    tool_calls: tuple[str, ...] = field(default=())

    def as_json(self) -> JSON:
        return asdict(self)


OPENAI_MODEL = "gpt-4o-mini-2024-07-18"
EMBEDDING_MODEL = "text-embedding-3-small-0001"
ANTHROPIC_MODEL = "claude-sonnet-4-5-20250929"

WORDS = ("One", " two", " three", " sea")
TEXTS = {"unary": "Paris it is.", "tool": "", "streamed": "".join(WORDS)}
OPENAI_TOKENS = {"unary": (150, 37), "streamed": (43, 17), "tool": (61, 19)}
ANTHROPIC_TOKENS = {"unary": (11, 29), "streamed": (83, 4), "tool": (67, 23)}
TOOL, ARGUMENTS = "get_weather", '{"city": "Paris"}'


def label_of(body: JSON) -> str:
    """The kind of a chat call, read off its request."""
    if "please fail" in str(body["messages"]):
        return "failing"
    if body.get("tools"):
        return "tool"
    return "streamed" if body.get("stream") else "unary"


def prompt_of(body: JSON) -> str:
    """The text of the last message, whether it came as text or as blocks."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])


def openai_chat(body: JSON, number: str) -> Call:
    label = label_of(body)
    call = {"label": label, "operation": "chat", "provider": "openai", "request_model": body["model"]}
    call |= {"stream": bool(body.get("stream")), "input_contains": prompt_of(body)}
    if label == "failing":
        return Call(**call, status="error")
    tokens_in, tokens_out = OPENAI_TOKENS[label]
    return Call(
        **call,
        response_id=f"chatcmpl-{number}",
        response_model=OPENAI_MODEL,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cached_tokens=20 if label == "unary" else 0,
        reasoning_tokens=13 if label == "unary" else 0,
        output_contains=TEXTS[label],
        tool_calls=(TOOL,) if label == "tool" else (),
    )


def openai_embeddings(body: JSON) -> Call:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    return Call(
        "embeddings",
        "embeddings",
        "openai",
        body["model"],
        response_model=EMBEDDING_MODEL,
        input_tokens=31,
        input_contains=str(texts[-1]),
    )


def anthropic_chat(body: JSON, number: str) -> Call:
    label = label_of(body)
    call = {"label": label, "operation": "chat", "provider": "anthropic", "request_model": body["model"]}
    call |= {"stream": bool(body.get("stream")), "input_contains": prompt_of(body)}
    if label == "failing":
        return Call(**call, status="error")
    uncached, tokens_out = ANTHROPIC_TOKENS[label]
    read, written = (100, 50) if label == "unary" else (0, 0)
    return Call(
        **call,
        response_id=f"msg_{number}",
        response_model=ANTHROPIC_MODEL,
        input_tokens=uncached + read + written,
        output_tokens=tokens_out,
        cached_tokens=read,
        cache_write_tokens=written,
        output_contains=TEXTS[label],
        tool_calls=(TOOL,) if label == "tool" else (),
    )


def openai_usage(call: Call) -> JSON:
    return {
        "prompt_tokens": call.input_tokens,
        "completion_tokens": call.output_tokens,
        "total_tokens": call.input_tokens + call.output_tokens,
        "prompt_tokens_details": {"cached_tokens": call.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": call.reasoning_tokens, "audio_tokens": 0},
    }


def openai_body(call: Call) -> JSON:
    message: JSON = {"role": "assistant", "content": call.output_contains or None, "refusal": None}
    if call.tool_calls:
        function = {"name": TOOL, "arguments": ARGUMENTS}
        message["tool_calls"] = [{"id": "call_weather", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call.tool_calls else "stop"}
    head = {"id": call.response_id, "object": "chat.completion", "created": 1795000000, "model": call.response_model}
    return {**head, "system_fingerprint": "fp_mock", "choices": [choice], "usage": openai_usage(call)}


def openai_events(call: Call, with_usage: bool) -> Iterator[JSON]:
    """The chunks of a stream; like OpenAI, none carries usage unless the caller asked for it."""
    head = {"id": call.response_id, "object": "chat.completion.chunk", "created": 1795000000}
    head["model"] = call.response_model
    yield {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
    for word in WORDS:
        yield {**head, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if with_usage:
        yield {**head, "choices": [], "usage": openai_usage(call)}


def embeddings_body(call: Call, count: int) -> JSON:
    vectors = [{"object": "embedding", "index": index, "embedding": [0.5, 0.25, 0.125]} for index in range(count)]
    usage = {"prompt_tokens": call.input_tokens, "total_tokens": call.input_tokens}
    return {"object": "list", "data": vectors, "model": call.response_model, "usage": usage}


def anthropic_usage(call: Call) -> JSON:
    """As Anthropic counts: `input_tokens` without what was read from or written to the cache."""
    return {
        "input_tokens": call.input_tokens - call.cached_tokens - call.cache_write_tokens,
        "cache_creation_input_tokens": call.cache_write_tokens,
        "cache_read_input_tokens": call.cached_tokens,
        "output_tokens": call.output_tokens,
    }


def anthropic_body(call: Call) -> JSON:
    content: JSON = {"type": "text", "text": call.output_contains}
    if call.tool_calls:
        content = {"type": "tool_use", "id": "toolu_weather", "name": TOOL, "input": {"city": "Paris"}}
    return {
        "id": call.response_id,
        "type": "message",
        "role": "assistant",
        "model": call.response_model,
        "content": [content],
        "stop_reason": "tool_use" if call.tool_calls else "end_turn",
        "stop_sequence": None,
        "usage": anthropic_usage(call),
    }


def anthropic_events(call: Call) -> Iterator[JSON]:
    """The events of a stream. message_start already counts one output token, which message_delta counts again."""
    usage = {**anthropic_usage(call), "output_tokens": 1}
    message = {**anthropic_body(call), "content": [], "stop_reason": None, "usage": usage}
    yield {"type": "message_start", "message": message}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for word in WORDS:
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
    yield {"type": "content_block_stop", "index": 0}
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": call.output_tokens}}
    yield {"type": "message_stop"}


ERROR_BODIES: dict[str, JSON] = {
    "openai": {"error": {"message": "the mock broke", "type": "server_error", "param": None, "code": None}},
    "anthropic": {"type": "error", "error": {"type": "api_error", "message": "the mock broke"}},
}
