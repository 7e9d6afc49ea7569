"""A batch goes to the provider's own batch API, and comes back as if it had been run here."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spanwell import conventions as c
from tests.proxy.access.test_keys import make
from tests.proxy.backend import until
from tests.proxy.batches.conftest import ENDPOINT, line
from tests.proxy.batches.handed import document, finish, read, spend, start
from tests.proxy.batches.provider import COST_USD, Provider
from tests.proxy.gateway import running_proxy
from tests.proxy.sink import Sink


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
