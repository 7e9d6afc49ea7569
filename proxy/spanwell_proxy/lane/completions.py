"""Chat completions as LiteLLM makes them, put back into OpenAI's own shape. Pure: JSON in, JSON out."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def tidy_completion(completion: Json) -> Json:
    """A whole answer: absent content is null, tool calls are not numbered, nothing is said twice."""
    for choice in completion.get("choices", ()):
        _drop_duplicates(choice)
        message = choice.setdefault("message", {"role": "assistant"})
        message.setdefault("content", None)
        _drop_duplicates(message)
        for call in message.get("tool_calls") or ():
            call.pop("index", None)
    return tidy_usage(completion)


class ChunkTidier:
    """The chunks of one stream: the usage stands alone in the last one, and a reason is null until there is one.

    What comes in lists is numbered, as OpenAI's clients need it to put the pieces together.
    """

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict(int)

    def tidy(self, chunk: Json) -> Json:
        for choice in chunk.get("choices", ()):
            _drop_duplicates(choice)
            choice.setdefault("finish_reason", None)
            delta = choice.setdefault("delta", {})
            _drop_duplicates(delta)
            self._number(delta)
        # OpenAI's usage stands in a chunk without choices: so a chunk that is left with neither says nothing.
        if chunk.get("usage") and not any(map(_says_something, chunk["choices"])):
            chunk["choices"] = []
        return tidy_usage(chunk)

    def _number(self, delta: Json) -> None:
        for key, value in delta.items():
            if not isinstance(value, list) or key == "tool_calls":
                continue
            for piece in value:
                if isinstance(piece, dict):
                    piece.setdefault("index", self._numbers[key])
                    # A thought comes in pieces, and ends with its signature.
                    self._numbers[key] += key != "thinking_blocks" or bool(piece.get("signature") or piece.get("data"))


def drop_numbers(message: Json) -> Json:
    """A message that comes back from a client: its thoughts without our numbers, which the provider does not know."""
    thoughts = message.get("thinking_blocks")
    if not isinstance(thoughts, list):
        return {key: value for key, value in message.items() if key != "thinking_blocks"}
    return message | {"thinking_blocks": [without_number(block) for block in thoughts if isinstance(block, dict)]}


def without_number(block: Json) -> Json:
    return {key: value for key, value in block.items() if key != "index"}


def tidy_text(completion: Json) -> Json:
    """A text completion, or a chunk of one."""
    for choice in completion.get("choices", ()):
        choice.setdefault("text", "")
        choice.setdefault("finish_reason", None)
        choice.setdefault("logprobs", None)
    if completion.get("usage") and not any(
        choice["text"] or choice["finish_reason"] for choice in completion["choices"]
    ):
        completion["choices"] = []
    return tidy_usage(completion)


def read_details(usage: Mapping[str, Any]) -> tuple[Json, Json]:
    """The kinds of tokens that were sent, and of those that were received."""
    return usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}


def _says_something(choice: Json) -> bool:
    return bool(choice.get("finish_reason") or any(choice["delta"].values()))


def _drop_duplicates(said: Json) -> None:
    """LiteLLM repeats some fields of a message under a name of its own, and keeps there what OpenAI does not know."""
    own = said.pop("provider_specific_fields", None) or {}
    said.update({key: value for key, value in own.items() if value and key not in said})


def tidy_usage(answer: Json) -> Json:
    """Noughts are LiteLLM's way to say that a backend reported nothing: the hot lane has to know that."""
    usage = answer.get("usage") or {}
    if not usage.get("total_tokens"):
        answer.pop("usage", None)
        return answer
    tier = usage.pop("service_tier", None)
    if tier and not answer.get("service_tier"):
        answer["service_tier"] = tier
    usage.pop("cost", None)  # at LiteLLM's prices: the hot lane has the user's
    return answer
