"""Replays stored calls against a cache that was not there. Pure: calls and rules in, figures out."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import numpy as np
import orjson

from spanwell_proxy.caches.semantic.embedders import Vectors
from spanwell_proxy.caches.semantic.guard import find_difference
from spanwell_proxy.caches.semantic.index import Index
from spanwell_proxy.caches.semantic.questions import LONGEST_QUESTION
from spanwell_proxy.whatif.stored import Stored

MOST_ROWS: Final = 200_000
MOST_EXAMPLES: Final = 20


@dataclass(frozen=True)
class Example:
    """Two questions of which the second would have got the first one's answer."""

    similarity: float
    first: str
    second: str


@dataclass
class Saved:
    """What a cache would have done. `looked_up` are the calls whose text is stored, and that went well."""

    ttl_s: float
    threshold: float | None
    looked_up: int = 0
    exact_hits: int = 0
    semantic_hits: int = 0
    kept_apart: int = 0
    saved_usd: Decimal = Decimal(0)
    saved_ms: float = 0.0
    spent_usd: Decimal = Decimal(0)
    examples: list[Example] = field(default_factory=list)

    @property
    def hits(self) -> int:
        return self.exact_hits + self.semantic_hits

    @property
    def hit_rate(self) -> float:
        return self.hits / self.looked_up if self.looked_up else 0.0


def replay(
    calls: Sequence[Stored],
    ttl_s: float,
    *,
    shared: bool = False,
    threshold: float | None = None,
    vectors: Callable[[str], Vectors] | None = None,
) -> Saved:
    """Answer `calls`, which are in order, from a cache of `ttl_s`; with `threshold` by meaning too.

    `shared`: keys share their answers. An answer is there as soon as its call began: who comes meanwhile waits for it.
    Only temperature and length are known of a call's parameters, and texts as they were masked: the real rate may
    differ where other parameters do.
    """
    saved, kept, index = Saved(ttl_s, threshold), dict[bytes, float](), Index(MOST_ROWS)
    for call in calls:
        if not call.asked or call.status == "error":
            continue
        saved.looked_up += 1
        saved.spent_usd += call.cost_usd or Decimal(0)
        key = _key(call, shared)
        if kept.get(key, float("-inf")) > call.at:
            saved.exact_hits += 1
        elif threshold is not None and vectors and _is_meant(call, shared, threshold, vectors, index, saved):
            saved.semantic_hits += 1
        else:
            kept[key] = call.at + ttl_s
            if threshold is not None and vectors and (question := _question(call)):
                index.add(_partition(call, shared), vectors(question), question, key, call.at + ttl_s)
            continue
        saved.saved_usd += call.cost_usd or Decimal(0)
        saved.saved_ms += call.duration_ms
    return saved


def list_questions(calls: Sequence[Stored]) -> list[str]:
    """Every question once, in order: what has to be embedded."""
    return list(dict.fromkeys(question for call in calls if (question := _question(call))))


def _is_meant(
    call: Stored, shared: bool, threshold: float, vectors: Callable[[str], Vectors], index: Index, saved: Saved
) -> bool:
    question = _question(call)
    if not question:
        return False
    for near in index.find(_partition(call, shared), vectors(question), call.at, threshold):
        if find_difference(question, near.text) is None:
            if len(saved.examples) < MOST_EXAMPLES:
                saved.examples.append(Example(near.similarity, near.text, question))
            return True
        saved.kept_apart += 1
    return False


def _key(call: Stored, shared: bool) -> bytes:
    return _digest([*_same(call, shared), call.asked])


def _partition(call: Stored, shared: bool) -> bytes:
    return _digest([*_same(call, shared), _messages(call)[:-1]])


def _digest(told: list[Any]) -> bytes:
    # Of a million calls not all texts can stand in memory twice.
    return hashlib.blake2b(orjson.dumps(told), digest_size=16).digest()


def _same(call: Stored, shared: bool) -> list[Any]:
    return ["" if shared else call.key_id, call.operation, call.model, *call.parameters]


def _question(call: Stored) -> str:
    """What the last message asks, where that is words of a user and nothing else."""
    messages = _messages(call)
    last = messages[-1] if messages and isinstance(messages[-1], dict) else {}
    parts = last.get("parts") if last.get("role") == "user" else None
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict):
        return ""
    content = parts[0].get("content") if parts[0].get("type") == "text" else None
    text = content.strip() if isinstance(content, str) else ""
    return text if len(text) <= LONGEST_QUESTION else ""


def _messages(call: Stored) -> list[Any]:
    try:
        messages = orjson.loads(call.asked)
    except ValueError:
        return []
    return messages if isinstance(messages, list) else []


def remember(questions: Sequence[str], rows: Vectors) -> Callable[[str], Vectors]:
    """The vectors of these questions, by question."""
    places = {question: at for at, question in enumerate(questions)}
    empty = np.zeros(rows.shape[1] if rows.ndim == 2 else 1, dtype=np.float32)

    def look_up(question: str) -> Vectors:
        at = places.get(question)
        return empty if at is None else rows[at]

    return look_up
