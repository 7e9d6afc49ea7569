"""What vLLM 0.32 and OpenAI answer on the APIs beside chat: whole, and as the events of a stream."""

import base64
import json
import struct
from typing import Any

Json = dict[str, Any]

WORDS = ("Foxes ", "do ", "not ", "sleep.")
TEXT = "".join(WORDS)
USAGE: Json = {
    "prompt_tokens": 42,
    "total_tokens": 62,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 16, "created_cache_tokens": 0, "multimodal_tokens": None},
    "completion_tokens_details": None,
}
RESPONSE_USAGE: Json = {
    "input_tokens": 42,
    "input_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 0},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 62,
}
# As Anthropic counts: what the cache held stands beside the input.
MESSAGE_USAGE: Json = {"input_tokens": 26, "output_tokens": 20, "cache_read_input_tokens": 16}
ARGUMENTS = '{"city":"Rome"}'
COUNTED_TOKENS = 2095


def text_completion(body: Json) -> Json:
    prompts = 1 if isinstance(body["prompt"], str) or isinstance(body["prompt"][0], int) else len(body["prompt"])
    choices = [
        {"index": at, "text": TEXT, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
        for at in range(prompts * (body.get("n") or 1))
    ]
    return _completion_head(body) | {"choices": choices, "usage": USAGE, "kv_transfer_params": None}


def completion_chunks(body: Json) -> list[Json]:
    """Without the usage: that comes in a chunk of its own, which is the backend's to add."""
    head = _completion_head(body)
    parts = [*((word, None) for word in WORDS), ("", "stop")]
    return [
        head | {"choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": reason}]}
        for text, reason in parts
    ]


def _completion_head(body: Json) -> Json:
    return {"id": "cmpl-1", "object": "text_completion", "created": 1795207129, "model": body["model"]}


def embeddings(body: Json) -> Json:
    given = body["input"]
    count = 1 if isinstance(given, str) or isinstance(given[0], int) else len(given)
    data = [{"index": at, "object": "embedding", "embedding": _vector(body)} for at in range(count)]
    usage = {"prompt_tokens": 42, "total_tokens": 42, "completion_tokens": 0, "prompt_tokens_details": None}
    return {"id": "embd-1", "object": "list", "created": 1795207129, "model": body["model"], "data": data} | {
        "usage": usage
    }


def _vector(body: Json) -> list[float] | str:
    floats = [0.25, -0.5, 1.0]
    packed = struct.pack("<3f", *floats)
    return base64.b64encode(packed).decode() if body.get("encoding_format") == "base64" else floats


def response(body: Json) -> Json:
    is_pending = bool(body.get("background"))
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1795207129,
        "status": "queued" if is_pending else "completed",
        "background": is_pending,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "model": body["model"],
        "output": [] if is_pending else [_item(body)],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if is_pending else RESPONSE_USAGE,
        "metadata": body.get("metadata") or {},
    }


def _item(body: Json) -> Json:
    if body.get("tools"):
        call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "status": "completed"}
        return call | {"arguments": ARGUMENTS}
    part = {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}


def response_events(body: Json) -> list[Json]:
    whole = response(body | {"background": False})
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    (item,) = whole["output"]
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *(_call_events(item) if body.get("tools") else _text_events(item)),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return [event | {"sequence_number": at} for at, event in enumerate(events)]


def _text_events(item: Json) -> list[Json]:
    (part,) = item["content"]
    at: Json = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    begun = item | {"status": "in_progress", "content": []}
    return [
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        {"type": "response.content_part.added", **at, "part": part | {"text": ""}},
        *({"type": "response.output_text.delta", **at, "delta": word, "logprobs": []} for word in WORDS),
        {"type": "response.output_text.done", **at, "text": TEXT, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
    ]


def _call_events(item: Json) -> list[Json]:
    at: Json = {"item_id": item["id"], "output_index": 0}
    kind = "response.function_call_arguments"
    begun = item | {"status": "in_progress", "arguments": ""}
    return [
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        {"type": kind + ".delta", **at, "delta": '{"city":'},
        {"type": kind + ".delta", **at, "delta": '"Rome"}'},
        {"type": kind + ".done", **at, "name": item["name"], "arguments": item["arguments"]},
    ]


def message(body: Json) -> Json:
    block: Json = {"type": "text", "text": TEXT}
    if body.get("tools"):
        block = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [block],
        "stop_reason": "tool_use" if body.get("tools") else "end_turn",
        "stop_sequence": None,
        "usage": MESSAGE_USAGE,
    }


def message_events(body: Json) -> list[Json]:
    """vLLM counts the whole input at the start, and tells what the cache held of it at the end."""
    whole = message(body)
    usage = {"input_tokens": 42, "output_tokens": 0}
    (block,) = whole["content"]
    if block["type"] == "text":
        begun, deltas = block | {"text": ""}, [{"type": "text_delta", "text": word} for word in WORDS]
    else:
        pieces = ('{"city":', '"Rome"}')
        begun, deltas = (
            block | {"input": {}},
            [{"type": "input_json_delta", "partial_json": piece} for piece in pieces],
        )
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    return [
        {"type": "message_start", "message": whole | {"content": [], "stop_reason": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": begun},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": MESSAGE_USAGE},
        {"type": "message_stop"},
    ]


def count_tokens(_: Json) -> Json:
    return {"input_tokens": COUNTED_TOKENS}


def compaction(_: Json) -> Json:
    output = [{"type": "compaction", "id": "cmp_1", "encrypted_content": "opaque"}]
    return {"id": "resp_c", "object": "response.compaction", "created_at": 1795207129} | {
        "output": output,
        "usage": RESPONSE_USAGE,
    }


def input_tokens(_: Json) -> Json:
    return {"object": "response.input_tokens", "input_tokens": COUNTED_TOKENS}


WHOLE = {
    "/v1/completions": text_completion,
    "/v1/embeddings": embeddings,
    "/v1/responses": response,
    "/v1/responses/compact": compaction,
    "/v1/responses/input_tokens": input_tokens,
    "/v1/messages": message,
    "/v1/messages/count_tokens": count_tokens,
}
STREAMED = {"/v1/responses": response_events, "/v1/messages": message_events}


def to_sse(events: list[Json]) -> list[bytes]:
    """Events that name their type."""
    return [b"event: %s\ndata: %s\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in events]
