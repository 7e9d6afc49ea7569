"""Goes on with a stream that broke: another attempt is given what was said as the beginning of its answer.

vLLM continues a last message of the assistant's with `continue_final_message`; a text completion just continues its
prompt. Only plain text of one choice is continued: tool calls and hidden reasoning would have to begin anew.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from spanwell_proxy.apis.api import Api, Document, Request
from spanwell_proxy.apis.events import EventReader, data_of

# An answer of a given form would be begun anew: what is there already is no part of it to a backend.
FORMS = ("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar")
UNFIT = ("logprobs", "prompt_logprobs", "echo", "best_of", "suffix", "audio", *FORMS)
MORE_THAN_TEXT = ("tool_calls", "function_call", "reasoning", "reasoning_content", "refusal")


def can_continue(api: Api, request: Request, said: Document | None) -> bool:
    """Whether an answer of which `said` has come can be gone on with at all."""
    if api.name not in ("chat", "completions") or not said or any(request.get(key) for key in UNFIT):
        return False
    if request.get("n") not in (None, 1) or len(said["choices"]) != 1 or not find_text(said):
        return False
    form = request.get("response_format")
    if isinstance(form, Mapping) and form.get("type") != "text":
        return False
    if api.name == "completions":
        return isinstance(request.get("prompt"), str)
    message = said["choices"][0]["message"]
    begins = request["messages"][-1].get("role") == "assistant"  # the client's own beginning of the answer
    return not begins and not any(message.get(key) for key in MORE_THAN_TEXT)


def find_text(said: Document) -> str:
    """What was said so far."""
    choice = said["choices"][0]
    text = choice["message"].get("content") if "message" in choice else choice.get("text")
    return text if isinstance(text, str) else ""


def go_on(request: dict[str, Any], said: Document, chunks: int) -> dict[str, Any]:
    """The request that continues `said`, which came in so many `chunks`: about as many tokens are used up."""
    text = find_text(said)
    if "prompt" in request:
        changed = request | {"prompt": request["prompt"] + text}
    else:
        messages = [*request["messages"], {"role": "assistant", "content": text}]
        changed = request | {"messages": messages, "continue_final_message": True, "add_generation_prompt": False}
    for key in ("max_tokens", "max_completion_tokens"):
        if isinstance(changed.get(key), int):
            changed[key] = max(1, changed[key] - chunks)
    return changed


class ContinuingReader(EventReader):
    """The second stream as the rest of the first: the reader of that one takes both in, and the client sees one."""

    def __init__(self, first: EventReader) -> None:
        """`first` is the reader that the stream began with."""
        super().__init__()
        self._first = first
        self.closing = first.closing
        self._chunks_before = first.content_chunks
        first.usage = None  # was charged with the attempt that broke

    @property
    def complete(self) -> bool:
        return self._first.complete

    def document(self) -> Document | None:
        return self._first.document()

    def is_replayable(self) -> bool:
        return self._first.is_replayable()

    def _pass(self, event: bytes) -> bytes:
        first = self._first
        changed = _relabel(event, first)
        passed = first._pass(changed)  # whole events: what is left of the broken one stays behind
        self.id, self.model, self.service_tier = first.id, first.model, first.service_tier
        self.usage, self.usage_is_partial = first.usage, first.usage_is_partial
        self.content_chunks, self.done = first.content_chunks - self._chunks_before, first.done
        return passed


def find_first(reader: EventReader) -> EventReader:
    """The reader that the stream began with, which has all that was said."""
    return reader._first if isinstance(reader, ContinuingReader) else reader


def _relabel(event: bytes, first: EventReader) -> bytes:
    """The same id on every chunk, and the role only once."""
    payload = data_of(event)
    if not payload or payload == b"[DONE]":
        return event
    try:
        chunk = orjson.loads(payload)
    except ValueError:
        return event  # for the reader to refuse
    if not isinstance(chunk, dict) or chunk.get("error"):
        return event
    chunk["id"] = first.id or chunk.get("id")
    for choice in chunk.get("choices") or ():
        if isinstance(choice, dict) and isinstance(choice.get("delta"), dict):
            choice["delta"].pop("role", None)
    return b"data: " + orjson.dumps(chunk)
