"""Which backend has read the beginning of this prompt before: consistent hashing, bounded by load.

Rendezvous hashing names an order of the deployments for each prefix, the same in every worker and with no table to
share; one that comes or goes moves its own prefixes alone. A deployment that has more than its share of the load is
passed over (Mirrokni, Thorup, Zadimoghaddam: Consistent hashing with bounded loads, 2018).
"""

import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from spanwell_proxy.routing.messages import read_turns

BLOCK_CHARS = 1024  # about 256 tokens: what a backend's cache holds is whole blocks of tokens
MOST_BLOCKS = 8
SPREAD: Final = 0x9E3779B97F4A7C15
MASK: Final = 2**64 - 1


def prefix_key(request: Mapping[str, Any]) -> int:
    """Equal for requests that share their beginning: all up to the first user's turn, in whole blocks, up to eight.

    So every turn of a conversation has one key, as have questions after the same long document.
    """
    texts, size = [str(request.get("model", ""))], 0
    for role, text in read_turns(request):
        texts += (role, text[: MOST_BLOCKS * BLOCK_CHARS - size])
        size += len(texts[-1])
        if role == "user" or size >= MOST_BLOCKS * BLOCK_CHARS:
            break
    if size > BLOCK_CHARS:
        texts[-1] = texts[-1][: len(texts[-1]) - size % BLOCK_CHARS]
    return hash_text("\0".join(texts))


def hash_text(text: str) -> int:
    """64 bits that are the same in every process."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def rank(key: int, hashed_id: int, weight: float) -> float:
    """How much the deployment is wanted for the key: the highest of all has it, each with odds by its weight."""
    return -weight / math.log((mix(key ^ hashed_id) + 1) / (MASK + 2))


def mix(value: int) -> int:
    """Every bit of 64 depends on every other (the finaliser of splitmix64)."""
    value = (value + SPREAD) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)
