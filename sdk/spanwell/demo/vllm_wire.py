"""Bytes as vLLM 0.32 sends them: bodies, chunks and errors, with every null it sends. Shapes only, no decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from spanwell.demo.drafts import Draft, ToolCall
from spanwell.demo.profiles import ModelProfile

FINGERPRINT = "vllm-simulated"
VERSION = "0.32.0+simulated"
DONE = b"data: [DONE]\n\n"

Json = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One accepted request, ready to be written out: its ids, its answers (`n` of them) and its prompt's tokens."""

    id: str
    created: int  # seconds
    model: str
    drafts: tuple[Draft, ...]
    prompt_tokens: int
    cached_tokens: int
    created_cache_tokens: int
    wants_logprobs: bool = False

    @property
    def completion_tokens(self) -> int:
        return sum(len(draft.pieces) for draft in self.drafts)


class ApiError(Exception):
    """A request vLLM would refuse. `code` is the HTTP status."""

    def __init__(self, code: int, message: str, kind: str = "BadRequestError", param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body = orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def chat_body(reply: Reply) -> bytes:
    """The unary answer of /v1/chat/completions."""
    choices = [_chat_choice(index, draft, reply.wants_logprobs) for index, draft in enumerate(reply.drafts)]
    return orjson.dumps(
        _head(reply, "chat.completion")
        | {"choices": choices, "service_tier": None, "system_fingerprint": FINGERPRINT, "usage": usage(reply)}
        | dict.fromkeys(("prompt_logprobs", "prompt_token_ids", "prompt_text"))
        | dict.fromkeys(("kv_transfer_params", "ec_transfer_params", "metrics"))
    )


def completion_body(reply: Reply) -> bytes:
    """The unary answer of /v1/completions."""
    choices = [
        {"index": index, "text": draft.text, "logprobs": None, "finish_reason": draft.finish_reason}
        | dict.fromkeys(("stop_reason", "token_ids", "prompt_logprobs", "prompt_token_ids", "routed_experts"))
        for index, draft in enumerate(reply.drafts)
    ]
    return orjson.dumps(
        _head(reply, "text_completion")
        | {"choices": choices, "service_tier": None, "system_fingerprint": FINGERPRINT, "usage": usage(reply)}
        | dict.fromkeys(("kv_transfer_params", "ec_transfer_params", "metrics"))
    )


def usage(reply: Reply) -> Json:
    """Usage as a unary answer carries it."""
    details = {
        "cached_tokens": reply.cached_tokens,
        "created_cache_tokens": reply.created_cache_tokens,
        "multimodal_tokens": None,
    }
    total = reply.prompt_tokens + reply.completion_tokens
    return {
        "prompt_tokens": reply.prompt_tokens,
        "total_tokens": total,
        "completion_tokens": reply.completion_tokens,
        "prompt_tokens_details": details,
        "completion_tokens_details": None,
    }


def running_usage(reply: Reply, completion_tokens: int) -> Json:
    """Usage so far, on every chunk when `continuous_usage_stats` is set: without details of the prompt."""
    return {
        "prompt_tokens": reply.prompt_tokens,
        "total_tokens": reply.prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        "completion_tokens_details": None,
    }


def role_chunk(reply: Reply, index: int, running: Json | None) -> bytes:
    """The first chunk of a choice: a role, and no text yet."""
    delta = {"role": "assistant", "content": ""}
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    tail = {"prompt_token_ids": None, "prompt_text": None}
    return _event(_head(reply, "chat.completion.chunk") | {"choices": [choice]} | _optional("usage", running) | tail)


def delta_chunk(
    reply: Reply,
    index: int,
    delta: Json,
    finish_reason: str | None,
    running: Json | None,
    *,
    with_fingerprint: bool = False,
) -> bytes:
    """A chunk with text or a part of a tool call; the last of a choice carries its finish reason.

    A stream that sends no usage chunk has its fingerprint on its last chunk.
    """
    choice: Json = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    choice |= {"token_ids": None} if finish_reason is None else {"stop_reason": None, "token_ids": None}
    body = _head(reply, "chat.completion.chunk") | {"choices": [choice]} | _optional("usage", running)
    return _event(body | _optional("system_fingerprint", FINGERPRINT if with_fingerprint else None))


def usage_chunk(reply: Reply) -> bytes:
    """The chunk after the last when `include_usage` is set: no choices, and the final usage."""
    details = {"cached_tokens": reply.cached_tokens, "created_cache_tokens": reply.created_cache_tokens}
    final = running_usage(reply, reply.completion_tokens)
    del final["completion_tokens_details"]
    final["prompt_tokens_details"] = details
    return _event(
        _head(reply, "chat.completion.chunk") | {"choices": [], "usage": final, "system_fingerprint": FINGERPRINT}
    )


def text_chunk(reply: Reply, text: str, finish_reason: str | None) -> bytes:
    """A chunk of /v1/completions."""
    choice: Json = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason, "stop_reason": None}
    return _event(_head(reply, "text_completion") | {"choices": [choice]})


def tool_head(call: ToolCall) -> Json:
    """The delta that opens a tool call: its id and name."""
    function = {"name": call.name, "arguments": ""}
    return {"tool_calls": [{"id": call.id, "type": "function", "index": 0, "function": function}]}


def tool_part(piece: str) -> Json:
    """The delta that carries the next piece of a tool call's arguments."""
    return {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def model_list(models: Sequence[ModelProfile], created: int) -> bytes:
    """The answer of /v1/models; every model says that it is simulated."""
    return orjson.dumps({"object": "list", "data": [_model_card(model, created) for model in models]})


def _model_card(model: ModelProfile, created: int) -> Json:
    allowed = dict.fromkeys(("allow_sampling", "allow_logprobs", "allow_view"), True)
    refused = dict.fromkeys(("allow_create_engine", "allow_search_indices", "allow_fine_tuning", "is_blocking"), False)
    permission = {"id": f"modelperm-{model.name}", "object": "model_permission", "created": created}
    permission |= allowed | refused | {"organization": "*", "group": None}
    return {
        "id": model.name,
        "object": "model",
        "created": created,
        "owned_by": "simulated",
        "root": model.name,
        "parent": None,
        "max_model_len": model.max_model_len,
        "permission": [permission],
    }


def _chat_choice(index: int, draft: Draft, wants_logprobs: bool) -> Json:
    message: Json = {"role": "assistant", "content": None if draft.tool_call else draft.text}
    message |= dict.fromkeys(("refusal", "annotations", "audio", "function_call"))
    if draft.tool_call:
        function = {"name": draft.tool_call.name, "arguments": draft.tool_call.arguments}
        message["tool_calls"] = [{"id": draft.tool_call.id, "type": "function", "function": function}]
    message["reasoning"] = None
    logprobs = {"content": [_logprob(piece) for piece in draft.pieces]} if wants_logprobs else None
    choice: Json = {"index": index, "message": message, "logprobs": logprobs, "finish_reason": draft.finish_reason}
    return choice | dict.fromkeys(("stop_reason", "token_ids", "routed_experts"))


def _logprob(piece: str) -> Json:
    return {"token": piece, "logprob": -0.5, "bytes": list(piece.encode()), "top_logprobs": []}


def _head(reply: Reply, kind: str) -> Json:
    return {"id": reply.id, "object": kind, "created": reply.created, "model": reply.model}


def _optional(key: str, value: Any) -> Json:
    return {} if value is None else {key: value}


def _event(body: Json) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"
