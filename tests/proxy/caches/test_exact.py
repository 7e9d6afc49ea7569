import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from spanwell import conventions as c
from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell_proxy.caches.exact import CacheSettings, Store, cache_key, read_cache_settings
from spanwell_proxy.caches.redis import RedisStore
from spanwell_proxy.caches.sqlite import SqliteStore
from tests.proxy.access.test_keys import make
from tests.proxy.backend import WORDS, Backend, until
from tests.proxy.gateway import ASK, COST_USD, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink

KEY, OTHER = b"k" * 32, b"o" * 32


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL) as server:
        asyncio.run(until(lambda: accepts(port)))
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


@pytest.fixture(params=["sqlite", "redis"])
def where(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings that choose the store."""
    return {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}


@asynccontextmanager
async def opened(where: dict[str, Any], tmp_path: Path, settings: CacheSettings) -> AsyncIterator[Store]:
    store: Store = RedisStore(where["redis_url"], settings) if where else SqliteStore(tmp_path / "state.db", settings)
    yield store
    await store.close()


async def test_what_was_put_is_found_until_it_expires(where: dict[str, Any], tmp_path: Path) -> None:
    async with opened(where, tmp_path, CacheSettings(ttl_s=0.2)) as store:
        await store.put(KEY, b"answer")
        found = [await store.get(KEY), await store.get(OTHER)]
        await asyncio.sleep(0.25)
        later = await store.get(KEY)

    assert found == [b"answer", None]
    assert later is None


async def test_the_oldest_make_room(where: dict[str, Any], tmp_path: Path) -> None:
    keys = [bytes([number]) * 32 for number in range(40)]
    async with opened(where, tmp_path, CacheSettings(max_bytes=10_000)) as store:
        for key in keys:
            await store.put(key, b"x" * 1000)
        found = [key for key in keys if await store.get(key)]

    assert found == keys[-10:]


async def test_a_redis_that_is_away_is_a_cache_that_holds_nothing(tmp_path: Path) -> None:
    async with opened({"redis_url": "redis://127.0.0.1:1/0"}, tmp_path, CacheSettings()) as store:
        await store.put(KEY, b"answer")

        assert await store.get(KEY) is None


@pytest.fixture
async def caching(where: dict[str, Any], backend: Backend, sink: Sink, tmp_path: Path) -> AsyncIterator[Proxy]:
    # A port that is new for each test makes each test's questions new, for the Redis that they share.
    document = config(deployment(backend.url), cache={"enabled": True, "ttl_seconds": 60, "max_mb": 8})
    async with running_proxy(tmp_path, document, sink.port, **where) as proxy:
        yield proxy


def ask(proxy: Proxy, **extra: Any) -> dict[str, Any]:
    return ASK | {"seed": int(proxy.url.rpartition(":")[2])} | extra


async def test_the_second_answer_costs_nothing(caching: Proxy, backend: Backend, sink: Sink) -> None:
    first, second = await caching.post(ask(caching)), await caching.post(ask(caching))

    _, hit = await sink.wait(2)
    assert [reply.headers["x-spanwell-cache"] for reply in (first, second)] == ["miss", "hit"]
    assert first.content == second.content
    assert len(backend.requests) == 1
    facts = [hit.attributes[key] for key in (c.CACHE, c.COST_USD, c.SAVED_USD, c.PROVIDER, c.ATTEMPTS, c.INPUT_TOKENS)]
    assert facts == ["hit", "0", COST_USD, "vllm", 0, 42]


@pytest.mark.parametrize("streamed_first", [False, True])
async def test_an_answer_serves_streams_and_whole_replies_alike(
    caching: Proxy, backend: Backend, streamed_first: bool
) -> None:
    await caching.post(ask(caching, stream=streamed_first))
    async with caching.client() as client:
        stream = await client.chat.completions.create(**ask(caching, stream=True))
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        whole = await client.chat.completions.create(**ask(caching))

    assert "".join(WORDS) == text == whole.choices[0].message.content
    assert whole.usage
    assert whole.usage.prompt_tokens == 42
    assert len(backend.requests) == 1


async def test_tool_calls_survive_the_replay(caching: Proxy) -> None:
    parameters = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters, "strict": True}}]
    await caching.post(ask(caching, tools=tools, stream=True))

    async with caching.client() as client, client.chat.completions.stream(**ask(caching, tools=tools)) as stream:
        final = await stream.get_final_completion()

    (call,) = final.choices[0].message.tool_calls or []
    assert call.function.arguments == '{"city":"Rome"}'


async def test_same_questions_at_once_ask_the_backend_once(caching: Proxy, backend: Backend, sink: Sink) -> None:
    backend.pause_s = 0.2

    replies = await asyncio.gather(*(caching.post(ask(caching)) for _ in range(8)))

    await sink.wait(8)
    assert [reply.status_code for reply in replies] == [200] * 8
    assert len(backend.requests) == 1


async def test_those_who_wait_go_on_when_the_first_fails(caching: Proxy, backend: Backend) -> None:
    backend.moods.append("400")
    backend.pause_s = 0.1

    replies = await asyncio.gather(*(caching.post(ask(caching)) for _ in range(4)))

    assert sorted(reply.status_code for reply in replies) == [200, 200, 200, 400]


async def test_answers_that_cannot_be_kept_do_not_put_their_askers_in_a_row(caching: Proxy, backend: Backend) -> None:
    backend.moods.extend(["no usage"] * 6)
    backend.pause_s = 0.05
    began = time.perf_counter()

    replies = await asyncio.gather(*(caching.post(ask(caching, stream=True)) for _ in range(6)))

    assert [reply.status_code for reply in replies] == [200] * 6
    assert time.perf_counter() - began < 6 * 6 * 0.05  # what six streams of seven events take one by one


async def test_what_a_stream_said_in_other_words_is_not_kept(caching: Proxy, backend: Backend) -> None:
    backend.moods.append("old function")

    replies = [await caching.post(ask(caching, stream=True)) for _ in range(2)]

    assert "function_call" in replies[0].text
    assert len(backend.requests) == 2


async def test_no_store_neither_looks_nor_keeps(caching: Proxy, backend: Backend) -> None:
    replies = [await caching.post(ask(caching), x_spanwell_cache="no-store") for _ in range(2)]
    later = await caching.post(ask(caching))

    assert len(backend.requests) == 3
    assert "x-spanwell-cache" not in replies[1].headers
    assert later.headers["x-spanwell-cache"] == "miss"


async def test_tenants_never_share_answers(caching: Proxy, backend: Backend) -> None:
    keys = [(await make(caching, name=name))["key"] for name in "ab"]

    for key in keys:
        await caching.post(ask(caching), authorization=f"Bearer {key}")

    assert len(backend.requests) == 2


def test_the_order_of_keys_and_the_way_of_delivery_do_not_matter() -> None:
    one = {"model": "fox", "messages": [{"role": "user", "content": "x"}], "stream": True, "user": "ada"}
    same = {"messages": [{"content": "x", "role": "user"}], "model": "fox"}

    assert cache_key("chat", "t", one) == cache_key("chat", "t", same)


@pytest.mark.parametrize("change", [{"temperature": 0.1}, {"model": "owl"}, {"a_new_option": True}])
def test_whatever_may_change_the_answer_changes_the_key(change: dict[str, Any]) -> None:
    assert cache_key("chat", "t", ASK) != cache_key("chat", "t", ASK | change)


@pytest.mark.parametrize(
    ("section", "named"), [({"ttl": 1}, "cache.ttl"), ({"max_mb": 0}, "cache.max_mb"), ({"enabled": "yes"}, "enabled")]
)
def test_a_wrong_setting_is_named(section: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        read_cache_settings(Config(cache=section))


def test_without_a_section_there_is_no_cache() -> None:
    assert read_cache_settings(Config()) is None
