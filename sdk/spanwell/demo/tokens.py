"""A stand-in for a tokenizer: pieces that join to the text again, of some four characters; and vLLM's prefix cache."""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

PIECE = re.compile(r"\s?\w{1,7}|\s?[^\w\s]|\s+")
MESSAGE_OVERHEAD = 4  # what a chat template adds around one message
BLOCK_TOKENS = 16  # of the prefix cache: vLLM's default on a GPU
PROMPT_OVERHEAD = 3  # and at the end, to begin the answer


@lru_cache(maxsize=4096)
def tokenize(text: str) -> tuple[str, ...]:
    """Cut `text` into pieces; `"".join` of them is `text`."""
    return tuple(PIECE.findall(text))


def message_text(message: Mapping[str, Any]) -> str:
    """The text of one chat message: plain content, or the text parts of a list, and its tool calls."""
    content = message.get("content")
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    calls = message.get("tool_calls") or []
    names = [f"{call['function']['name']}({call['function'].get('arguments', '')})" for call in calls]
    return " ".join([str(content or ""), *names]).strip()


def prompt_pieces(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The prompt as the model would see it, template included; one piece is one token."""
    pieces: list[str] = []
    for message in messages:
        pieces += ["<|im_start|>", str(message.get("role")), "\n", *tokenize(message_text(message)), "<|im_end|>"]
    return [*pieces, "<|im_start|>", "assistant", "\n"]


def count_prompt_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """The length of `prompt_pieces`, without building it."""
    texts = sum(len(tokenize(message_text(message))) for message in messages)
    return texts + MESSAGE_OVERHEAD * len(messages) + PROMPT_OVERHEAD


class PrefixCache:
    """Whole blocks of tokens, known by all tokens up to their end: only a shared prefix is a hit. Oldest out first."""

    def __init__(self, capacity_tokens: int) -> None:
        self._capacity = capacity_tokens // BLOCK_TOKENS
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def admit(self, pieces: Sequence[str]) -> tuple[int, int]:
        """Take in one prompt; return the tokens found in the cache and the tokens put into it.

        The last token is always computed, as its output is what the model samples from.
        """
        hits = created = chain = 0
        for end in range(BLOCK_TOKENS, len(pieces), BLOCK_TOKENS):
            chain = hash((chain, *pieces[end - BLOCK_TOKENS : end]))
            if chain in self._blocks:
                hits += BLOCK_TOKENS
                self._blocks.move_to_end(chain)
            else:
                created += BLOCK_TOKENS
                self._blocks[chain] = None
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)
        return hits, created
