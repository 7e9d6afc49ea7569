"""Writes a whole response as the events of a stream: what a client that asked for one gets of a cached answer."""

from collections.abc import Iterator
from itertools import count
from typing import Any

from spanwell_proxy.apis.api import Document, Request
from spanwell_proxy.apis.events import write_event

Event = dict[str, Any]


def as_stream(response: Document, _: Request) -> bytes:
    numbers = count()
    return b"".join(write_event(event | {"sequence_number": next(numbers)}) for event in _events(response))


def _events(response: Document) -> Iterator[Event]:
    begun = response | {"status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response["output"]):
        yield from _item_events(index, item)
    status = response.get("status")
    last = "response.incomplete" if status == "incomplete" else "response.completed"
    yield {"type": last, "response": response}


def _item_events(index: int, item: dict[str, Any]) -> Iterator[Event]:
    kind, place = item.get("type"), {"output_index": index, "item_id": item.get("id")}
    empty: dict[str, Any] = {key: [] for key in ("content", "summary") if isinstance(item.get(key), list)}
    if kind == "function_call":
        empty["arguments"] = ""
    begun = item | empty | ({"status": "in_progress"} if "status" in item else {})
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    if kind == "message":
        for at, part in enumerate(item.get("content") or ()):
            yield from _part_events({**place, "content_index": at}, part)
    elif kind == "reasoning":
        for at, part in enumerate(item.get("summary") or ()):
            yield from _summary_events({**place, "summary_index": at}, part)
    elif kind == "function_call":
        arguments = item.get("arguments", "")
        yield {"type": "response.function_call_arguments.delta", **place, "delta": arguments}
        done = {"type": "response.function_call_arguments.done", "name": item.get("name"), "arguments": arguments}
        yield done | place
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part_events(place: dict[str, Any], part: dict[str, Any]) -> Iterator[Event]:
    kind = part.get("type")
    if kind == "refusal":
        yield {"type": "response.content_part.added", **place, "part": part | {"refusal": ""}}
        yield {"type": "response.refusal.delta", **place, "delta": part.get("refusal", "")}
        yield {"type": "response.refusal.done", **place, "refusal": part.get("refusal", "")}
    else:
        text, logprobs = part.get("text", ""), part.get("logprobs") or []
        yield {"type": "response.content_part.added", **place, "part": part | {"text": "", "annotations": []}}
        yield {"type": "response.output_text.delta", **place, "delta": text, "logprobs": logprobs}
        for at, annotation in enumerate(part.get("annotations") or ()):
            noted = {"annotation_index": at, "annotation": annotation}
            yield {"type": "response.output_text.annotation.added", **place, **noted}
        yield {"type": "response.output_text.done", **place, "text": text, "logprobs": logprobs}
    yield {"type": "response.content_part.done", **place, "part": part}


def _summary_events(place: dict[str, Any], part: dict[str, Any]) -> Iterator[Event]:
    text = part.get("text", "")
    yield {"type": "response.reasoning_summary_part.added", **place, "part": part | {"text": ""}}
    yield {"type": "response.reasoning_summary_text.delta", **place, "delta": text}
    yield {"type": "response.reasoning_summary_text.done", **place, "text": text}
    yield {"type": "response.reasoning_summary_part.done", **place, "part": part}
