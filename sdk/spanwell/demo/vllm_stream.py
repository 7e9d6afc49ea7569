"""The chunks of one streamed answer, in vLLM's order. Pure: pacing and sending are the simulator's."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from spanwell.demo.drafts import Draft
from spanwell.demo.vllm_wire import (
    DONE,
    Json,
    Reply,
    delta_chunk,
    role_chunk,
    running_usage,
    text_chunk,
    tool_head,
    tool_part,
    usage_chunk,
)


class UsageOptions(NamedTuple):
    """What `stream_options` asks for: usage once at the end, or on every chunk as well."""

    include: bool
    continuous: bool


def stream_chunks(reply: Reply, body: Mapping[str, Any], is_chat: bool) -> list[bytes]:
    """The whole stream. What vLLM sends together stands in one element, so that an element is a token."""
    options = body.get("stream_options") or {}
    include = bool(options.get("include_usage"))
    usage = UsageOptions(include, include and bool(options.get("continuous_usage_stats")))
    if is_chat:
        chunks = [
            chunk for index, draft in enumerate(reply.drafts) for chunk in _choice_chunks(reply, index, draft, usage)
        ]
    else:
        chunks = _text_chunks(reply)
    tail = usage_chunk(reply) if include else b""
    return [*chunks[:-1], chunks[-1] + tail + DONE]


def _choice_chunks(reply: Reply, index: int, draft: Draft, usage: UsageOptions) -> list[bytes]:
    deltas = [_delta(draft, piece) for piece in draft.pieces] or [{"content": ""}]
    head = role_chunk(reply, index, _running(reply, 0, usage))
    if draft.tool_call:
        head += delta_chunk(reply, index, tool_head(draft.tool_call), None, _running(reply, 0, usage))
    last = len(deltas)
    parts = [
        delta_chunk(
            reply,
            index,
            delta,
            draft.finish_reason if count == last else None,
            _running(reply, count, usage),
            with_fingerprint=count == last and not usage.include,
        )
        for count, delta in enumerate(deltas, start=1)
    ]
    return [head + parts[0], *parts[1:]]


def _delta(draft: Draft, piece: str) -> Json:
    return tool_part(piece) if draft.tool_call else {"content": piece}


def _running(reply: Reply, count: int, usage: UsageOptions) -> Json | None:
    return running_usage(reply, count) if usage.continuous else None


def _text_chunks(reply: Reply) -> list[bytes]:
    draft = reply.drafts[0]
    pieces = draft.pieces or ("",)
    return [
        *(text_chunk(reply, piece, None) for piece in pieces[:-1]),
        text_chunk(reply, pieces[-1], draft.finish_reason),
    ]
