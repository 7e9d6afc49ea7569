"""A batch goes to the provider's own batch API, and comes back as if it had been run here."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from spanwell import conventions as c
from spanwell_proxy.batches import handing, runner
from tests.proxy.access.test_keys import make
from tests.proxy.backend import SECRET, until
from tests.proxy.batches.conftest import ENDPOINT, line
from tests.proxy.batches.provider import COST_USD, Provider, running_provider
from tests.proxy.gateway import Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink

HALF = {"input_cost_per_token_batches": 5e-7, "output_cost_per_token_batches": 1e-6}


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
    for module, name in ((handing, "FIRST_PAUSE_S"), (handing, "LOOK_EVERY_S"), (runner, "LOOK_EVERY_S")):
        monkeypatch.setattr(module, name, 0.02)
    monkeypatch.setattr(handing, "LONGEST_PAUSE_S", 0.05)
    async with running_provider() as provider:
        yield provider


def document(provider: Provider, name: str = "fox", **sections: Any) -> dict[str, Any]:
    entry = deployment(provider.url, name, model="openai/gpt-tiny", temperature=0.2, **HALF)
    return config(entry | {"model_info": {"batch_api": True, "id": f"{name}-1"}}, **sections)


async def start(proxy: Proxy, *lines: bytes, key: str = "", endpoint: str = ENDPOINT) -> str:
    async with proxy.client(key) as client:
        file = await client.files.create(file=("in.jsonl", b"".join(lines)), purpose="batch")
        wanted: dict[str, Any] = {"input_file_id": file.id, "endpoint": endpoint, "completion_window": "24h"}
        return (await client.batches.create(**wanted, metadata={"job": "nightly"})).id


async def finish(proxy: Proxy, batch_id: str, timeout_s: float = 10.0) -> Any:
    async with proxy.client() as client, asyncio.timeout(timeout_s):
        while True:
            batch = await client.batches.retrieve(batch_id)
            if batch.status in ("completed", "failed", "expired", "cancelled"):
                return batch
            await asyncio.sleep(0.02)


async def read(proxy: Proxy, file_id: str | None) -> dict[str, Any]:
    """Results by custom_id."""
    assert file_id
    async with proxy.client() as client:
        content = (await client.files.content(file_id)).content
    assert SECRET.encode() not in content
    return {one["custom_id"]: one for one in map(orjson.loads, content.splitlines())}


async def spend(proxy: Proxy, key_id: str) -> Decimal:
    told = (await proxy.get(f"/admin/keys/{key_id}/spend")).json()
    return Decimal(told["spent_usd"]["total"])


async def test_a_batch_is_handed_over_and_comes_back(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, line("a"), line("b"), line("c")))
        results = await read(proxy, batch.output_file_id)

    spans = await sink.wait(3)
    assert (batch.status, batch.request_counts.completed, batch.error_file_id) == ("completed", 3, None)
    assert {name: one["response"]["body"]["choices"][0]["message"]["content"] for name, one in results.items()} == {
        name: f"to {name}" for name in "abc"
    }
    assert {one["response"]["request_id"] for one in results.values()} == {
        span.attributes[c.REQUEST_ID] for span in spans
    }
    bills = [(span.attributes[c.COST_USD], span.attributes[c.SERVICE_TIER]) for span in spans]
    assert bills == [(COST_USD, "batch")] * 3
    assert (len(sink.attempts), provider.calls, provider.files) == (3, [], {})


async def test_lines_are_rewritten_as_calls_are(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    said = {"model": "fox", "messages": [{"role": "user", "content": "hi"}], "api_base": "http://evil", "timeout": 1}
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        await finish(proxy, await start(proxy, line("a", body=said | {"metadata": {"user_id": "ada", "own": "x"}})))

    ((sent,),) = provider.uploads
    (span,) = await sink.wait(1)
    assert sent == {
        "custom_id": "a",
        "method": "POST",
        "url": ENDPOINT,
        "body": {
            "model": "gpt-tiny",
            "temperature": 0.2,
            "messages": said["messages"],
            "metadata": {"own": "x"},
        },
    }
    assert (span.attributes[c.USER_ID], span.attributes[c.REQUEST_MODEL]) == ("ada", "fox")


async def test_it_is_begun_with_our_mark_and_its_own_metadata_stays_here(
    provider: Provider, sink: Sink, tmp_path: Path
) -> None:
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, line("a")))

    (begun,) = provider.batches.values()
    assert (begun["metadata"], begun["endpoint"]) == ({"spanwell_batch": batch.id}, ENDPOINT)
    assert batch.metadata == {"job": "nightly"}


async def test_other_endpoints_are_handed_over_too(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    asked = line("a", url="/v1/embeddings", body={"model": "fox", "input": "hi"})
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, asked, endpoint="/v1/embeddings"))
        results = await read(proxy, batch.output_file_id)

    (span,) = await sink.wait(1)
    assert results["a"]["response"]["body"]["data"][0]["embedding"] == [0.5]
    assert (len(provider.uploads), span.attributes[c.COST_USD]) == (1, COST_USD)


async def test_what_it_used_is_booked_once_on_the_key(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    provider.fates = {"b": "400"}
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        made = await make(proxy, name="batcher", budgets=[{"usd": "5", "period": "day"}])
        await finish(proxy, await start(proxy, line("a"), line("b"), line("c"), key=made["key"]))
        await asyncio.sleep(0.3)
        spent = await spend(proxy, made["id"])

    spans = await sink.wait(3)
    assert spent == 2 * Decimal(COST_USD) == sum(Decimal(span.attributes.get(c.COST_USD, "0")) for span in spans)


@pytest.mark.parametrize(("usd", "expected"), [("0.000001", (0, 0, 2)), ("5", (1, 2, 0))])
async def test_a_budget_without_room_refuses_it_before_it_is_begun(
    provider: Provider, sink: Sink, tmp_path: Path, usd: str, expected: tuple[int, int, int]
) -> None:
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        made = await make(proxy, name="poor", budgets=[{"usd": usd, "period": "month"}])
        batch = await finish(proxy, await start(proxy, line("a"), line("b"), key=made["key"]))
        errors = await read(proxy, batch.error_file_id) if batch.error_file_id else {}

    counts = batch.request_counts
    assert (len(provider.uploads), counts.completed, counts.failed) == expected
    assert {one["response"]["status_code"] for one in errors.values()} <= {429}


async def test_what_is_set_aside_is_free_again_once_it_is_over(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    big = {"model": "fox", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 400_000}
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        made = await make(proxy, name="tight", budgets=[{"usd": "1", "period": "total"}])
        for name in "ab":  # each may cost 0.80, and costs next to nothing
            await finish(proxy, await start(proxy, line(name, body=big), key=made["key"]))

    assert [len(lines) for lines in provider.uploads] == [1, 1]


async def test_a_cancelled_batch_is_cancelled_there(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    provider.is_held, provider.fates = True, {"b": "batch_cancelled"}
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch_id = await start(proxy, line("a"), line("b"))
        await until(lambda: provider.batches)
        async with proxy.client() as client:
            await client.batches.cancel(batch_id)
        batch = await finish(proxy, batch_id)
        results = await read(proxy, batch.output_file_id)

    assert (batch.status, batch.error_file_id, set(results)) == ("cancelled", None, {"a"})
    assert (provider.files, provider.calls, len(await sink.wait(1))) == ({}, [], 1)


async def test_a_failed_batch_has_the_providers_errors_by_our_lines(
    provider: Provider, sink: Sink, tmp_path: Path
) -> None:
    provider.outcome = "failed"
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, b"\n", line("a"), b"\n", line("b")))

    (error,) = batch.errors.data
    assert (batch.status, error.code, error.param, error.line) == ("failed", "model_not_found", "body.model", 4)
    assert SECRET not in error.message
    assert (batch.output_file_id, provider.files, provider.calls) == (None, {}, [])


async def test_an_expired_batch_keeps_what_was_answered(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    provider.outcome, provider.fates = "expired", {"b": "batch_expired", "c": "missing"}
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, line("a"), line("b"), line("c")))
        answered, errors = await read(proxy, batch.output_file_id), await read(proxy, batch.error_file_id)

    assert (batch.status, set(answered), provider.calls) == ("expired", {"a"}, [])
    assert {name: one["error"]["code"] for name, one in errors.items()} == dict.fromkeys("bc", "batch_expired")
    assert len(await sink.wait(1)) == 1


async def test_what_is_missing_in_its_results_is_asked_here(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    provider.fates = {"b": "missing", "c": "400"}
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, line("a"), line("b"), line("c")))
        answered, errors = await read(proxy, batch.output_file_id), await read(proxy, batch.error_file_id)

    assert (batch.status, set(answered), set(errors)) == ("completed", {"a", "b"}, {"c"})
    assert errors["c"]["response"]["status_code"] == 400
    assert [call["messages"][0]["content"] for call in provider.calls] == ["b"]
    assert len(await sink.wait(3)) == 3


async def test_a_line_that_nobody_can_answer_is_refused_here_and_the_others_go(
    provider: Provider, sink: Sink, tmp_path: Path
) -> None:
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, line("a"), line("b", body={"model": "fox"})))
        errors = await read(proxy, batch.error_file_id)

    assert [[one["custom_id"] for one in lines] for lines in provider.uploads] == [["a"]]
    assert errors["b"]["response"]["status_code"] == 400


@pytest.mark.parametrize(("path", "status"), [("POST /files", 404), ("POST /files", 403), ("POST /batches", 429)])
async def test_a_provider_that_takes_no_batch_is_asked_line_by_line(
    provider: Provider, sink: Sink, tmp_path: Path, path: str, status: int
) -> None:
    provider.moods[path] = deque([status] * 9)
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, line("a"), line("b")))

    assert (batch.status, batch.request_counts.completed, len(provider.calls)) == ("completed", 2, 2)
    assert (provider.files, provider.batches) == ({}, {})


async def test_a_batch_that_its_provider_calls_wrong_fails_by_name(
    provider: Provider, sink: Sink, tmp_path: Path
) -> None:
    provider.moods["POST /batches"] = deque([400])
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, line("a")))

    (error,) = batch.errors.data
    assert (batch.status, error.code, provider.files, provider.calls) == ("failed", "upstream_400", {}, [])
    assert SECRET not in error.message


async def test_a_batch_that_its_provider_has_lost_fails_by_name(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    provider.moods["GET /batches/"] = deque([503, 404])
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, line("a")))

    assert (batch.status, batch.errors.data[0].code) == ("failed", "upstream_404")


async def test_one_that_was_cancelled_at_the_provider_says_so(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    provider.outcome, provider.fates = "cancelled", {"b": "batch_cancelled"}
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, line("a"), line("b")))
        answered = await read(proxy, batch.output_file_id)

    assert (batch.status, batch.errors.data[0].code, set(answered)) == ("failed", "upstream_cancelled", {"a"})


async def test_an_answer_that_was_lost_begins_nothing_twice(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    provider.moods |= {"POST /files": deque(["lost"]), "POST /batches": deque(["lost"])}
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, line("a")))

    assert (batch.status, len(provider.uploads), len(provider.batches)) == ("completed", 1, 1)


@pytest.mark.parametrize(
    ("sections", "lines"),
    [
        ({"guards": [{"name": "pii", "type": "pii", "action": "mask"}]}, (line("a"), line("b"))),
        ({}, (line("a"), line("b", body={"model": "owl", "messages": [{"role": "user", "content": "b"}]}))),
    ],
)
async def test_lines_that_need_the_gateway_between_stay_here(
    provider: Provider, sink: Sink, tmp_path: Path, sections: dict[str, Any], lines: tuple[bytes, ...]
) -> None:
    both = document(provider, **sections)
    both["model_list"] += document(provider, "owl")["model_list"]
    async with running_proxy(tmp_path, both, sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, *lines))

    assert (batch.status, provider.uploads, len(provider.calls)) == ("completed", [], 2)


async def test_whoever_seals_texts_leaves_none_in_a_file(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    async with running_proxy(tmp_path, document(provider), sink.port, seal_texts="project") as proxy:
        batch = await finish(proxy, await start(proxy, line("a")))

    assert (batch.status, provider.uploads, len(provider.calls)) == ("completed", [], 1)


async def test_the_owners_next_batch_does_not_wait_for_the_provider(
    provider: Provider, sink: Sink, tmp_path: Path
) -> None:
    provider.is_held = True
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        first = await start(proxy, line("a"))
        await until(lambda: provider.batches)
        second = await start(proxy, line("b"))
        await until(lambda: len(provider.batches) == 2)
        provider.is_held = False

        assert {(await finish(proxy, one)).status for one in (first, second)} == {"completed"}


async def test_a_restart_goes_on_with_what_was_begun(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    provider.is_held = True
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        made = await make(proxy, name="batcher", budgets=[{"usd": "5", "period": "day"}])
        batch_id = await start(proxy, line("a"), line("b"), key=made["key"])
        await until(lambda: any(name.startswith("GET /batches/") for name in provider.asked))
    provider.is_held = False
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, batch_id)
        await asyncio.sleep(0.3)
        spent = await spend(proxy, made["id"])

    assert (batch.status, len(provider.uploads), len(provider.batches)) == ("completed", 1, 1)
    assert (len(await sink.wait(2)), spent) == (2, 2 * Decimal(COST_USD))


@pytest.mark.parametrize("name", ["POST /files", "POST /batches", "GET /batches/", "GET /files/", "DELETE /files/"])
async def test_wherever_it_is_cut_it_is_begun_and_booked_once(
    provider: Provider, sink: Sink, tmp_path: Path, name: str
) -> None:
    provider.moods[name] = deque(["hang"])
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch_id = await start(proxy, line("a"), line("b"))
        await asyncio.wait_for(provider.hanging.wait(), 10)
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, batch_id)

    assert (batch.status, batch.request_counts.completed) == ("completed", 2)
    assert (len(provider.uploads), len(provider.batches), provider.calls, provider.files) == (1, 1, [], {})
    assert len(await sink.wait(2)) == 2


async def test_results_that_break_off_are_read_again_and_no_line_is_booked_twice(
    provider: Provider, sink: Sink, tmp_path: Path
) -> None:
    provider.moods["GET /files/"] = deque(["cut", 500])
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, *map(line, "abcdefg")))

    assert (batch.status, batch.request_counts.completed) == ("completed", 7)
    assert len(await sink.wait(7)) == 7


async def test_any_worker_takes_a_batch_and_the_first_hands_it_over(
    provider: Provider, sink: Sink, tmp_path: Path
) -> None:
    first = running_proxy(tmp_path, document(provider), sink.port, proxy_workers=2)
    second = running_proxy(tmp_path, document(provider), sink.port, 1, proxy_workers=2)
    async with first, second as other:
        batch = await finish(other, await start(other, line("a"), line("b")))
        results = await read(other, batch.output_file_id)

    assert (batch.status, set(results), len(provider.batches)) == ("completed", {"a", "b"}, 1)
    assert len(await sink.wait(2)) == 2


async def test_a_file_larger_than_a_piece_goes_whole(provider: Provider, sink: Sink, tmp_path: Path) -> None:
    said = {"model": "fox", "messages": [{"role": "user", "content": "x" * 300_000}]}
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, *(line(str(number), body=said) for number in range(5))), 20)

    assert (batch.status, batch.request_counts.completed) == ("completed", 5)
    assert [len(lines) for lines in provider.uploads] == [5]
