"""What may become of a batch at its provider, and of the gateway meanwhile."""

import asyncio
from collections import deque
from decimal import Decimal
from pathlib import Path

import pytest

from spanwell_proxy.batches import routes
from tests.proxy.access.test_keys import make
from tests.proxy.backend import SECRET, until
from tests.proxy.batches.conftest import line
from tests.proxy.batches.handed import document, finish, read, spend, start
from tests.proxy.batches.provider import COST_USD, Provider
from tests.proxy.gateway import running_proxy
from tests.proxy.sink import Sink


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


async def test_what_a_provider_does_not_answer_in_our_time_is_expired(
    provider: Provider, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "WINDOW_S", 2)
    provider.is_held, provider.fates = True, {"b": "batch_cancelled", "c": "missing"}
    async with running_proxy(tmp_path, document(provider), sink.port) as proxy:
        batch = await finish(proxy, await start(proxy, line("a"), line("b"), line("c")))
        answered, errors = await read(proxy, batch.output_file_id), await read(proxy, batch.error_file_id)

    (there,) = provider.batches.values()
    assert (batch.status, there["status"], set(answered)) == ("expired", "cancelled", {"a"})
    assert {name: one["error"]["code"] for name, one in errors.items()} == dict.fromkeys("bc", "batch_expired")


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
