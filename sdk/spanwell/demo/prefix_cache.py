"""vLLM's prefix cache in small: whole blocks of tokens, least recently used out first."""

from collections import OrderedDict
from collections.abc import Sequence

BLOCK_TOKENS = 16  # vLLM's default on a GPU


class PrefixCache:
    """Remembers blocks by all tokens up to their end, so that only a shared prefix is a hit."""

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
