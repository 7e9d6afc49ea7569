"""Who finds what by its meaning, and when nobody does."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.caches.entry import Entry
from spanwell_proxy.caches.semantic.embedders import HashingEmbedder, Vectors
from spanwell_proxy.caches.semantic.log import RedisLog, SqliteLog
from spanwell_proxy.caches.semantic.meanings import Meanings
from spanwell_proxy.caches.semantic.settings import SemanticSettings
from spanwell_proxy.caches.semantic.verdicts import Verdicts
from spanwell_proxy.caches.shelf import Shelf
from spanwell_proxy.caches.sqlite import SqliteStore
from spanwell_proxy.call import Call, begin_call

QUESTION = "How do I reset my password?"
TOO_WRONG = Verdicts(20, 20)


class Failing:
    """An embedder that is away, and counts who asks."""

    def __init__(self) -> None:
        self.asked = 0

    async def embed(self, _: Sequence[str]) -> Vectors:
        self.asked += 1
        raise ConnectionError


def call(text: str = QUESTION, span: int = 0) -> Call:
    async def nothing(*_: Any) -> Any: ...

    made = begin_call(CHAT, {}, nothing, nothing)
    made.span_id, made.model, made.cache_key = span.to_bytes(8, "big"), "fox", text.encode()
    made.request = {"model": "fox", "messages": [{"role": "user", "content": text}]}
    return made


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(SqliteStore(tmp_path / "cache.db", 1_000_000), 1_000_000)


def meanings(shelf: Shelf, tmp_path: Path, by: Any = None, compare: Any = None, **settings: Any) -> Meanings:
    usual: dict[str, Any] = {"models": frozenset({"fox"}), "embedder": ("hashing", ""), "threshold": 0.5}
    log = SqliteLog(tmp_path / "questions.db", 100)
    return Meanings(SemanticSettings(**usual | settings), shelf, by or HashingEmbedder(), log, compare)


async def keep(shelf: Shelf, found: Meanings, realm: str = "r") -> None:
    asked = call()
    assert await found.find(asked, realm) is None
    shelf.put(asked.cache_key, Entry("d", "fox", "fox", "k", "t", 1e9, 1e9, 2e9, 1.0, None, b"{}"))
    found.keep(asked, 2e9)


async def test_another_embedders_vectors_are_not_compared(shelf: Shelf, tmp_path: Path) -> None:
    before = meanings(shelf, tmp_path)
    await keep(shelf, before)
    await before.close()
    same, other = meanings(shelf, tmp_path), meanings(shelf, tmp_path, embedder=("endpoint", "emb"))
    found = []
    for later in (same, other):
        await later.sync()
        found.append(await later.find(call("How can I reset my password?"), "r"))

    assert [entry is not None for entry in found] == [True, False]


async def test_an_embedder_that_is_away_is_not_waited_for_by_each_call(shelf: Shelf, tmp_path: Path) -> None:
    away = Failing()
    found = meanings(shelf, tmp_path, away)

    answers = [await found.find(call(), "r") for _ in range(5)]

    assert (answers, away.asked) == ([None] * 5, 1)


async def test_hits_stay_off_while_nobody_can_tell_the_verdicts(shelf: Shelf, tmp_path: Path) -> None:
    found = meanings(shelf, tmp_path)
    found.verdicts = {"fox": TOO_WRONG}
    found._log = RedisLog("redis://127.0.0.1:1/0", 100)

    await found.sync()

    assert found.is_off("fox")
    assert not await found.forget_verdicts("fox")


async def test_a_late_verdict_does_not_switch_hits_on_again(shelf: Shelf, tmp_path: Path) -> None:
    async def same(*_: Any) -> bool:
        return False

    found = meanings(shelf, tmp_path, compare=same, verify_sample=1.0, judge="judge")
    for _ in range(TOO_WRONG.different):
        await found._log.judge("fox", is_different=True)
    found.look_over(call())
    await asyncio.gather(*found._opinions)

    assert found.verdicts == {"fox": TOO_WRONG}


async def test_clients_do_not_choose_which_hits_are_looked_over(shelf: Shelf, tmp_path: Path) -> None:
    looked = 0

    async def compare(*_: Any) -> None:
        nonlocal looked
        looked += 1

    found = meanings(shelf, tmp_path, compare=compare, verify_sample=0.5, judge="judge")
    for span in (0, 2**64 - 1):
        asked = call(span=span)
        asked.trace_id = bytes(16)  # a client's traceparent says this
        found.look_over(asked)
        await asyncio.gather(*found._opinions)

    assert looked == 1
