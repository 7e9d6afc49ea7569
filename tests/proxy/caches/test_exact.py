import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from spanwell import conventions as c
from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell_proxy.apis.api import Api
from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.apis.messages import MESSAGES
from spanwell_proxy.apis.responses import RESPONSES
from spanwell_proxy.caches import steps
from spanwell_proxy.caches.exact import cache_key, find_realm, name_realm, name_tenant
from spanwell_proxy.caches.settings import read_cache_settings
from spanwell_proxy.call import begin_call
from spanwell_proxy.caller import Caller
from spanwell_proxy.routing.asked import Asked, Assignment
from spanwell_proxy.routing.policy import WEIGHTED, Policy
from tests.proxy.access.test_keys import make
from tests.proxy.backend import WORDS, Backend, until
from tests.proxy.gateway import ASK, COST_USD, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink


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


async def test_an_answer_is_kept_as_long_as_the_request_says(caching: Proxy, backend: Backend) -> None:
    await caching.post(ask(caching), x_spanwell_cache_ttl="0.1")
    await asyncio.sleep(0.15)
    again = await caching.post(ask(caching))

    assert (again.headers["x-spanwell-cache"], len(backend.requests)) == ("miss", 2)


@pytest.mark.parametrize(("scope", "verdict"), [("key", "hit"), ("all", "miss")])
async def test_what_is_shared_is_kept_no_longer_than_the_operator_said(
    backend: Backend, sink: Sink, tmp_path: Path, scope: str, verdict: str
) -> None:
    document = config(deployment(backend.url), cache={"enabled": True, "scope": scope, "ttl_seconds": 0.1})
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        await proxy.post(ASK, x_spanwell_cache_ttl="1000")
        await asyncio.sleep(0.15)
        again = await proxy.post(ASK)

    assert again.headers["x-spanwell-cache"] == verdict


async def test_no_cache_asks_anew_and_keeps_the_answer(caching: Proxy, backend: Backend) -> None:
    await caching.post(ask(caching))
    anew = await caching.post(ask(caching), x_spanwell_cache="no-cache")
    later = await caching.post(ask(caching))

    assert [reply.headers["x-spanwell-cache"] for reply in (anew, later)] == ["miss", "hit"]
    assert len(backend.requests) == 2


@pytest.mark.parametrize("words", ["only-if-cached", "no-store, only-if-cached"])
async def test_only_if_cached_never_asks_a_backend(caching: Proxy, backend: Backend, words: str) -> None:
    reply = await caching.post(ask(caching), x_spanwell_cache=words)

    assert (reply.status_code, reply.json()["error"]["code"], backend.requests) == (504, "not_cached", [])


async def test_litellms_words_in_the_body_mean_the_same_and_stay_here(caching: Proxy, backend: Backend) -> None:
    await caching.post(ask(caching, cache={"no-store": True}))
    later = await caching.post(ask(caching, cache={"ttl": 60, "namespace": "x"}))

    assert later.headers["x-spanwell-cache"] == "miss"
    assert all("cache" not in request for request in backend.requests)


async def test_where_the_cache_is_asked_for_no_one_else_gets_it(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url), cache={"enabled": True, "opt_in": True})
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        body = ask(proxy)
        others = [await proxy.post(body), await proxy.post(body | {"cache": {"ttl": 60}})]
        asked = [await proxy.post(body | {"cache": {"use-cache": True}}) for _ in range(2)]
        by_header = await proxy.post(body, x_spanwell_cache="use-cache")

    assert all("x-spanwell-cache" not in reply.headers for reply in others)
    assert [reply.headers["x-spanwell-cache"] for reply in (*asked, by_header)] == ["miss", "hit", "hit"]


async def test_a_purge_counts_for_calls_that_are_under_way(caching: Proxy, backend: Backend) -> None:
    backend.pause_s = 0.3
    first = asyncio.create_task(caching.post(ask(caching)))
    await until(lambda: backend.requests)
    purged = await caching.post({"all": True}, "/admin/cache/purge")
    await first
    again = await caching.post(ask(caching))

    assert (purged.status_code, again.headers["x-spanwell-cache"]) == (200, "miss")


async def test_who_waits_goes_on_when_the_first_leaves(caching: Proxy, backend: Backend) -> None:
    backend.pause_s = 0.3
    first = asyncio.create_task(caching.post(ask(caching)))
    await until(lambda: backend.requests)
    waiting = asyncio.create_task(caching.post(ask(caching)))
    await asyncio.sleep(0.1)
    first.cancel()

    reply = await waiting

    assert (reply.status_code, len(backend.requests)) == (200, 2)


async def test_nobody_waits_for_ever_for_another_call(
    caching: Proxy, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "LONGEST_WAIT_S", 0.05)
    backend.pause_s = 0.5

    await asyncio.gather(*(caching.post(ask(caching)) for _ in range(2)))

    assert len(backend.requests) == 2


async def test_a_hit_tells_its_age_and_whose_answer_it_was(caching: Proxy, sink: Sink) -> None:
    first, hit = await caching.post(ask(caching)), await caching.post(ask(caching))

    *_, span = await sink.wait(2)
    assert hit.headers["age"] == "0"
    assert span.attributes[c.CACHE_MATCHED] == first.headers["traceparent"].split("-")[1]
    assert span.attributes[c.CACHE_TYPE] == "exact"
    assert span.attributes[c.SAVED_MS] > 0


def test_the_order_of_keys_and_the_way_of_delivery_do_not_matter() -> None:
    one = {"model": "fox", "messages": [{"role": "user", "content": "x"}], "stream": True, "user": "ada"}
    same = {"messages": [{"content": "x", "role": "user"}], "model": "fox"}

    assert cache_key("chat", "t", one) == cache_key("chat", "t", same)


@pytest.mark.parametrize("change", [{"temperature": 0.1}, {"model": "owl"}, {"a_new_option": True}])
def test_whatever_may_change_the_answer_changes_the_key(change: dict[str, Any]) -> None:
    assert cache_key("chat", "t", ASK) != cache_key("chat", "t", ASK | change)


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"ttl": 1}, "cache.ttl"),
        ({"max_mb": 0}, "cache.max_mb"),
        ({"enabled": "yes"}, "enabled"),
        ({"opt_in": 1}, "opt_in"),
        ({"scope": "world"}, "cache.scope"),
        ({"semantic": 7}, "cache.semantic"),
    ],
)
def test_a_wrong_setting_is_named(section: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        read_cache_settings(Config(cache=section))


def test_without_a_section_there_is_no_cache() -> None:
    assert read_cache_settings(Config()) is None


@pytest.mark.parametrize(
    ("scope", "shared"),
    [("key", {"ab": False, "bc": False}), ("team", {"ab": True, "bc": False}), ("all", {"ab": True, "bc": True})],
)
def test_the_scope_says_who_shares_an_answer(scope: Any, shared: dict[str, bool]) -> None:
    a, b, c = (name_tenant(Caller(key_id=key, team=team), scope) for key, team in ("1x", "2x", "3y"))

    assert {"ab": a == b, "bc": b == c} == shared


def test_keys_without_a_team_share_with_nobody() -> None:
    assert name_tenant(Caller(key_id="1"), "team") != name_tenant(Caller(key_id="2"), "team")


async def test_a_model_that_only_the_path_names_is_part_of_what_is_asked(
    where: dict[str, Any], backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    document = config(deployment(backend.url), deployment(backend.url, "owl"), cache={"enabled": True})
    body = {"messages": ASK["messages"]}
    async with running_proxy(tmp_path, document, sink.port, **where) as proxy:
        paths = [f"/openai/deployments/{model}/chat/completions" for model in ("fox", "owl", "fox")]
        replies = [await proxy.post(body, path) for path in paths]

    assert [reply.headers["x-spanwell-cache"] for reply in replies] == ["miss", "miss", "hit"]


def realm(api: Api = CHAT, policy: Policy = WEIGHTED, namespace: str = "", **facts: Any) -> str:
    async def nothing(*_: Any) -> Any: ...

    headers = facts.pop("headers", {})
    call = begin_call(api, headers, nothing, nothing)
    call.caller, call.request = Caller(key_id="1", team="birds"), facts.pop("request", {})
    call.model = call.target = facts.pop("model", "fox")
    call.asked = Asked({}, 0, **facts)
    return name_realm(find_realm(call, "all", namespace, policy))


@pytest.mark.parametrize(
    "change",
    [
        {"model": "owl"},
        {"namespace": "x"},
        {"api": MESSAGES, "headers": {b"anthropic-beta": b"interleaved-thinking-2025-05-14"}},
        {"assignment": Assignment("trial", "b", 0.5, "fox-1")},
        {"policy": Policy(by_tags=True), "tags": frozenset({"eu"})},
        {"policy": Policy(tiers={"free": frozenset()}), "tier": "paid"},
    ],
)
def test_calls_that_may_be_answered_otherwise_share_nothing(change: dict[str, Any]) -> None:
    usual = {name: change[name] for name in ("api", "policy") if name in change}

    assert realm(**usual) == realm(**usual)
    assert realm(**usual) != realm(**usual | change)


def test_what_routing_does_not_look_at_keeps_nobody_apart() -> None:
    assert realm(tags=frozenset({"eu"}), tier="paid", headers={b"anthropic-beta": b"x"}) == realm()


def test_a_response_that_its_backend_keeps_is_its_keys_alone() -> None:
    kept, passing = realm(RESPONSES), realm(RESPONSES, request={"store": False})

    assert "key 1" in kept
    assert "key 1" not in passing


async def test_an_answer_that_is_kept_nowhere_is_no_answer_to_who_wants_it_kept(
    caching: Proxy, backend: Backend
) -> None:
    body = {"model": "fox", "input": f"hi {caching.url}"}
    passing, kept = [await caching.post(body | said, "/v1/responses") for said in ({"store": False}, {})]

    assert kept.json()["id"] != passing.json()["id"]
    assert len(backend.requests) == 2


async def test_an_answer_that_is_too_old_for_the_request_is_asked_anew(caching: Proxy, backend: Backend) -> None:
    await caching.post(ask(caching))
    await asyncio.sleep(0.1)
    replies = [await caching.post(ask(caching, cache={"s-maxage": most})) for most in (60, 0.05)]

    assert [reply.headers["x-spanwell-cache"] for reply in replies] == ["hit", "miss"]
