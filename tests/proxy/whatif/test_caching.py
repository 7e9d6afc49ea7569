"""What a cache would have answered, worked out by hand."""

import asyncio
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pytest

from spanwell_proxy.caches.semantic.embedders import HashingEmbedder
from spanwell_proxy.whatif.__main__ import read_duration, tabulate
from spanwell_proxy.whatif.caching import Saved, list_questions, remember, replay
from spanwell_proxy.whatif.stored import Stored


def call(at: float, text: str, **facts: Any) -> Stored:
    asked = orjson.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}]).decode()
    usual: dict[str, Any] = {"model": "fox", "operation": "chat", "key_id": "k", "status": "ok", "deployment": "fox-0"}
    usual |= {"cache": "", "duration_ms": 1000.0, "cost_usd": Decimal("0.01"), "parameters": ("", ""), "asked": asked}
    return Stored(trace_id=f"{at:032.0f}", span_id="s", at=at, **usual | facts)


def by_meaning(calls: list[Stored], threshold: float) -> Saved:
    questions = list_questions(calls)
    rows = asyncio.run(HashingEmbedder().embed(questions))
    return replay(calls, 600, threshold=threshold, vectors=remember(questions, rows))


def test_the_same_question_within_the_time_is_a_hit() -> None:
    saved = replay([call(0, "a"), call(50, "a"), call(99, "a"), call(100, "a"), call(120, "b")], 100)

    assert (saved.looked_up, saved.exact_hits) == (5, 2)
    assert (saved.saved_usd, saved.saved_ms) == (Decimal("0.02"), 2000.0)
    assert saved.hit_rate == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("second", "hits"),
    [
        ({}, 1),
        ({"key_id": "other"}, 0),
        ({"model": "owl"}, 0),
        ({"parameters": ("0.7", "")}, 0),
        ({"status": "error"}, 0),
        ({"asked": ""}, 0),
    ],
)
def test_what_may_change_the_answer_is_no_hit(second: dict[str, Any], hits: int) -> None:
    assert replay([call(0, "a"), call(1, "a", **second)], 100).hits == hits


def test_keys_may_share() -> None:
    assert replay([call(0, "a"), call(1, "a", key_id="other")], 100, shared=True).hits == 1


def test_a_call_without_a_price_saves_time_alone() -> None:
    saved = replay([call(0, "a"), call(1, "a", cost_usd=None)], 100)

    assert (saved.hits, saved.saved_usd, saved.saved_ms) == (1, Decimal(0), 1000.0)


def test_a_paraphrase_is_a_hit_by_meaning_and_a_near_miss_is_kept_apart() -> None:
    first, second = "How do I reset my password?", "How can I reset my password?"
    calls = [call(0, first), call(1, second), call(2, "How do I not reset my password?")]

    saved = by_meaning(calls, 0.5)

    assert (saved.exact_hits, saved.semantic_hits, saved.kept_apart) == (0, 1, 1)
    (example,) = saved.examples
    assert (example.first, example.second) == (first, second)
    assert 0.5 < example.similarity < 1


def test_pictures_and_long_texts_are_not_compared() -> None:
    picture = orjson.dumps([{"role": "user", "parts": [{"type": "image", "digest": "x"}]}]).decode()

    assert list_questions([call(0, "x" * 2001)]) == []  # the semantic cache does not look at these
    assert list_questions([call(0, "", asked=picture), call(0, "", asked="{"), call(0, "", asked="7")]) == []
    assert remember([], np.zeros((0, 1), dtype=np.float32))("x").tolist() == [0]


def test_the_figures_stand_under_their_names() -> None:
    saved = Saved(600, None, looked_up=1000, exact_hits=250, saved_usd=Decimal("1.5"), spent_usd=Decimal(6))

    head, line = tabulate([saved])

    assert head.split() == ["ttl", "threshold", "calls", "hits", "rate", "saved", "of", "time", "saved"]
    assert line.split() == ["10m", "exact", "1,000", "250", "25.0%", "1.5000", "$", "6.0000", "$", "0", "s"]


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("6h", 21_600), ("7d", 604_800)])
def test_times_are_written_short(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds
