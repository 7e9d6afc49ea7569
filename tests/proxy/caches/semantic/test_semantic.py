"""A question in other words gets the answer that is there, unless it may mean something else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from spanwell import conventions as c
from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell_proxy.caches.semantic.log import Asked, QuestionLog, RedisLog, SqliteLog
from spanwell_proxy.caches.semantic.settings import read_semantic_settings
from spanwell_proxy.caches.semantic.verdicts import Verdicts
from tests.proxy.access.test_keys import make
from tests.proxy.backend import Backend, until
from tests.proxy.gateway import Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink

SEMANTIC = {"models": ["fox"], "embedder": {"type": "hashing"}, "threshold": 0.5}
MODELS = {"fox", "judge", "emb"}


def ask(text: str, **extra: Any) -> dict[str, Any]:
    return {"model": "fox", "temperature": 0, "messages": [{"role": "user", "content": text}]} | extra


@asynccontextmanager
async def serving(
    tmp_path: Path, backend: Backend, sink: Sink, where: dict[str, Any], **semantic: Any
) -> AsyncIterator[Proxy]:
    cache = {"enabled": True, "semantic": SEMANTIC | semantic}
    document = config(*(deployment(backend.url, name) for name in ("fox", "judge", "emb")), cache=cache)
    async with running_proxy(tmp_path, document, sink.port, **where) as proxy:
        yield proxy


async def test_a_paraphrase_is_answered_from_the_cache(
    where: dict[str, Any], backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    async with serving(tmp_path, backend, sink, where) as proxy:
        first = await proxy.post(ask("How do I reset my password?"))
        second = await proxy.post(ask("How can I reset my password?"))
        *_, span = await sink.wait(2)

    assert [reply.headers["x-spanwell-cache"] for reply in (first, second)] == ["miss", "hit"]
    assert first.content == second.content
    assert span.attributes[c.CACHE_TYPE] == "semantic"
    assert 0.5 < span.attributes[c.CACHE_SIMILARITY] < 1
    assert span.attributes[c.CACHE_MATCHED] == first.headers["traceparent"].split("-")[1]
    assert len(backend.requests) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ask("How do I reset my password?"), ask("How do I not reset my password?")),
        (ask("How do I reset my password?"), ask("How can I reset my password?", max_tokens=5)),
        (ask("How do I reset my password?"), ask("How can I reset my password?", tools=[{"type": "function"}])),
    ],
)
async def test_a_near_miss_is_asked(
    backend: Backend, sink: Sink, tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    async with serving(tmp_path, backend, sink, {}) as proxy:
        await proxy.post(before)
        reply = await proxy.post(after)

    assert reply.headers["x-spanwell-cache"] == "miss"


async def test_same_questions_at_once_ask_the_backend_once(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    backend.pause_s = 0.2  # for the vectors too: meanwhile the others come
    async with serving(tmp_path, backend, sink, {}, embedder={"type": "endpoint", "model": "emb"}) as proxy:
        replies = await asyncio.gather(*(proxy.post(ask("How do I reset my password?")) for _ in range(6)))

    assert [reply.status_code for reply in replies] == [200] * 6
    assert len([request for request in backend.requests if "messages" in request]) == 1


async def test_what_is_too_old_for_the_request_is_no_hit(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    async with serving(tmp_path, backend, sink, {}) as proxy:
        await proxy.post(ask("How do I reset my password?"))
        await asyncio.sleep(0.1)
        reply = await proxy.post(ask("How can I reset my password?", cache={"s-maxage": 0.05}))

    assert reply.headers["x-spanwell-cache"] == "miss"


async def test_a_verdict_on_one_text_is_none_on_another(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    async with serving(tmp_path, backend, sink, {}) as proxy:
        for text in ("How do I reset my password?", "How can I reset my password?"):
            await proxy.post(ask(text), x_spanwell_purpose="judge")

    assert len(backend.requests) == 2


async def test_a_hit_is_not_kept_once_more(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    async with serving(tmp_path, backend, sink, {}) as proxy:
        await proxy.post(ask("How do I reset my password?"))
        for _ in range(2):
            hit = await proxy.post(ask("How can I reset my password?"))
        kept = (await proxy.get("/admin/cache")).json()["in_memory"]

    assert (hit.headers["x-spanwell-cache"], kept) == ("hit", 1)


async def test_tenants_never_share_meanings(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    async with serving(tmp_path, backend, sink, {}) as proxy:
        keys = [(await make(proxy, name=name))["key"] for name in "ab"]
        await proxy.post(ask("How do I reset my password?"), authorization=f"Bearer {keys[0]}")
        await proxy.post(ask("How can I reset my password?"), authorization=f"Bearer {keys[1]}")

    assert len(backend.requests) == 2


async def test_meanings_are_there_after_a_restart(
    where: dict[str, Any], backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    async with serving(tmp_path, backend, sink, where) as proxy:
        await proxy.post(ask("How do I reset my password?"))
    async with serving(tmp_path, backend, sink, where) as proxy:

        async def is_hit() -> bool:
            reply = await proxy.post(ask("How can I reset my password?"), x_spanwell_cache="only-if-cached")
            return bool(reply.headers.get("x-spanwell-cache") == "hit")

        assert await is_hit() or await is_hit()
    assert len(backend.requests) == 1


async def test_a_sample_of_the_hits_is_looked_over(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    async with serving(tmp_path, backend, sink, {}, verify_sample=1.0, judge="judge") as proxy:
        await proxy.post(ask("How do I reset my password?"))
        await proxy.post(ask("How can I reset my password?"))
        await until(lambda: len(backend.requests) >= 2)
        *_, own = await sink.wait(3)

    assert own.attributes[c.PURPOSE] == "cache-check"
    assert backend.requests[1]["messages"][0]["content"] == "How can I reset my password?"


@pytest.fixture
async def log(where: dict[str, Any], tmp_path: Path) -> AsyncIterator[QuestionLog]:
    log: QuestionLog = RedisLog(where["redis_url"], 100) if where else SqliteLog(tmp_path / "questions.db", 100)
    yield log
    await log.close()


async def test_what_was_added_is_read_once(log: QuestionLog) -> None:
    asked = [Asked(b"p\x00", b"k%d" % number, f"q{number}", b"\x00\x01\xff", 2e9) for number in range(3)]

    await log.add(asked[:2])
    first = await log.read()
    await log.add(asked[2:])

    assert [first, await log.read(), await log.read()] == [asked[:2], asked[2:], []]


async def test_verdicts_are_counted_and_forgotten(log: QuestionLog) -> None:
    for is_different in (True, False, False):
        await log.judge("fox", is_different=is_different)
    counted = await log.read_verdicts()
    await log.forget_verdicts("fox")

    assert counted == {"fox": Verdicts(3, 1)}
    assert await log.read_verdicts() == {}


async def test_a_log_that_is_away_knows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    log = RedisLog("redis://127.0.0.1:1/0", 100)

    for _ in range(3):
        await log.judge("fox", is_different=True)
        told = [await log.read(), await log.read_verdicts(), await log.forget_verdicts("fox")]
    await log.close()

    assert told == [[], None, False]
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"models": ["cat"]}, "models"),
        ({"models": []}, "models"),
        ({"embedder": {"type": "magic"}}, "embedder.type"),
        ({"embedder": {"type": "minilm", "path": "/nowhere"}}, "embedder.path"),
        ({"embedder": {"type": "endpoint", "model": "cat"}}, "embedder.model"),
        ({"threshold": 2}, "threshold"),
        ({"verify_sample": 0.1}, "judge"),
        ({"max_entries": 0}, "max_entries"),
        ({"max_false_hits": 0}, "max_false_hits"),
        ({"max_false_hits": 1}, "max_false_hits"),
        ({"ttl_seconds": "long"}, "ttl_seconds"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=rf"cache\.semantic\.{named}"):
        read_semantic_settings(SEMANTIC | change, Config().source, MODELS)


def test_without_a_section_it_is_off() -> None:
    assert read_semantic_settings({}, "file", MODELS) is None
