"""A batch is answered whole, whatever comes between."""

import asyncio
import time

import pytest

from spanwell_proxy.batches.runner import Runner
from spanwell_proxy.batches.settings import BatchSettings
from spanwell_proxy.batches.store import BatchStore, Row
from tests.proxy.batches.conftest import Asker, add_batch, finish, line, read_results


def runner(store: BatchStore, asker: Asker, concurrency: int = 4) -> Runner:
    return Runner(store, BatchSettings(concurrency=concurrency), asker, lambda: 0)


def found(store: BatchStore, batch_id: str = "batch_1") -> Row:
    row = store.find_batch(batch_id, None)
    assert row
    return row


async def test_every_line_gets_its_answer(store: BatchStore, asker: Asker) -> None:
    add_batch(store, *(line(f"q{number}") for number in range(9)))

    await finish(runner(store, asker, concurrency=3), store)

    row = found(store)
    results = read_results(store, row["output_file_id"])
    assert (row["status"], row["completed"], row["failed"], row["error_file_id"]) == ("completed", 9, 0, None)
    assert {one["custom_id"]: one["response"]["body"] for one in results} == {
        f"q{number}": {"echo": f"q{number}"} for number in range(9)
    }
    assert asker.most <= 3
    assert {owner.split()[0] for owner in asker.asked} == {"key_1"}


async def test_a_file_with_a_mistake_is_not_begun(store: BatchStore, asker: Asker) -> None:
    add_batch(store, line("a"), b"{")

    await finish(runner(store, asker), store)

    row = found(store)
    assert (row["status"], row["errors"][0]["line"], asker.asked) == ("failed", 2, [])


async def test_after_a_crash_only_what_has_no_answer_is_asked(store: BatchStore, asker: Asker) -> None:
    add_batch(store, line("a"), line("b"), line("c"))
    with store.append_to("batch_1-output") as output, store.append_to("batch_1-errors") as errors:
        output.write(b'{"custom_id":"a","response":{}}\n{"custom_id":"b","resp')
        errors.write(b'{"custom_id":"c","response":{}}\n')

    await finish(runner(store, asker), store)

    row = found(store)
    assert asker.asked == ["key_1 b"]
    assert [one["custom_id"] for one in read_results(store, row["output_file_id"])] == ["a", "b"]
    assert (row["completed"], row["failed"]) == (2, 1)


async def test_a_refusal_for_now_is_asked_again(store: BatchStore, asker: Asker) -> None:
    add_batch(store, line("a"))
    asker.refusals = 3

    await finish(runner(store, asker), store)

    assert (len(asker.asked), found(store)["completed"]) == (4, 1)


async def test_what_fails_stands_in_the_file_of_errors(store: BatchStore, asker: Asker) -> None:
    add_batch(store, line("a"))
    asker.status = 400

    await finish(runner(store, asker), store)

    row = found(store)
    (result,) = read_results(store, row["error_file_id"])
    assert (row["status"], row["output_file_id"], row["failed"]) == ("completed", None, 1)
    assert result["response"]["status_code"] == 400


async def test_a_batch_whose_time_is_over_expires_and_says_so(store: BatchStore, asker: Asker) -> None:
    add_batch(store, line("a"), line("b"), expires_at=int(time.time()) - 1)

    await finish(runner(store, asker), store)

    row = found(store)
    assert (row["status"], asker.asked) == ("expired", [])
    assert [one["error"]["code"] for one in read_results(store, row["error_file_id"])] == ["batch_expired"] * 2


async def test_a_cancelled_batch_stops(store: BatchStore, asker: Asker) -> None:
    add_batch(store, line("a"))
    store.change_batch("batch_1", status="cancelling")

    await finish(runner(store, asker), store)

    assert (found(store)["status"], asker.asked) == ("cancelled", [])


async def test_whoever_waits_for_an_answer_goes_first(store: BatchStore, asker: Asker) -> None:
    add_batch(store, line("a"))
    loads = iter([32, 32, 0])

    await finish(Runner(store, BatchSettings(yield_above=32), asker, lambda: next(loads)), store)

    assert found(store)["status"] == "completed"
    assert next(loads, None) is None


async def test_files_go_when_their_time_is_over(store: BatchStore, asker: Asker) -> None:
    with store.write_file() as (old, _):
        pass
    store.add_file(old, {"owner": "", "filename": "", "purpose": "batch", "created_at": 0, "expires_at": 1})
    add_batch(store, line("a"), batch_id="batch_0", created_at=1, status="completed")
    store.change_batch("batch_0", among=("completed",), completed=0)
    add_batch(store, line("a"))
    file_id = found(store)["input_file_id"]

    await finish(runner(store, asker), store)

    assert store.find_file(old, None) is None
    assert store.find_batch("batch_0", None) is None
    assert store.find_file(file_id, "key_1")
    assert store.find_file(file_id, "key_2") is None


async def test_a_batch_cancelled_before_it_was_looked_at_holds_up_nobody(store: BatchStore, asker: Asker) -> None:
    add_batch(store, line("a"), batch_id="batch_0", owner="key_2")
    store.change_batch("batch_0", status="cancelling")
    add_batch(store, line("b"))

    await finish(runner(store, asker), store)

    assert (found(store, "batch_0")["status"], found(store)["status"]) == ("cancelled", "completed")
    assert asker.asked == ["key_1 b"]


async def test_a_slow_batch_holds_up_no_other_owner(store: BatchStore, asker: Asker) -> None:
    asker.held = "key_2"
    add_batch(store, line("a"), batch_id="batch_0", owner="key_2")
    add_batch(store, line("b"))

    await finish(runner(store, asker), store, "batch_0")

    assert asker.asked == ["key_1 b"]


async def test_who_is_refused_for_now_leaves_the_place_to_others(store: BatchStore, asker: Asker) -> None:
    asker.refused, asker.retry_after_s = "key_2", 50.0
    add_batch(store, line("a"), batch_id="batch_0", owner="key_2")
    add_batch(store, *(line(f"q{number}") for number in range(5)))

    await finish(runner(store, asker, concurrency=1), store, "batch_0")

    assert found(store)["completed"] == 5


async def test_an_input_that_is_gone_fails_its_batch_alone(store: BatchStore, asker: Asker) -> None:
    add_batch(store, line("a"), batch_id="batch_0", owner="key_2", status="in_progress")
    store.delete_file(found(store, "batch_0")["input_file_id"])
    add_batch(store, line("b"))

    await finish(runner(store, asker), store)

    gone = found(store, "batch_0")
    assert (gone["status"], gone["errors"][0]["code"]) == ("failed", "file_not_found")
    assert found(store)["status"] == "completed"


async def test_a_batch_that_cannot_be_written_rests_and_the_others_go_on(
    store: BatchStore, asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    add_batch(store, line("a"), batch_id="batch_0", owner="key_2")
    store.path_of("batch_0-output").mkdir()
    add_batch(store, line("b"))

    await finish(runner(store, asker), store, "batch_0")

    assert found(store)["status"] == "completed"
    assert "IsADirectoryError" in caplog.text


async def test_what_was_asked_in_time_is_no_expiry(store: BatchStore, asker: Asker) -> None:
    asker.held, asker.status = "key_1", 400
    add_batch(store, line("a"), expires_at=int(time.time()) + 1)
    asyncio.get_running_loop().call_later(1.2, asker.gate.set)

    await finish(runner(store, asker), store)

    assert (found(store)["status"], found(store)["failed"]) == ("completed", 1)


async def test_the_input_of_an_open_batch_outlives_its_time(store: BatchStore) -> None:
    add_batch(store, line("a"))
    file_id = found(store)["input_file_id"]

    assert store.is_in_use(file_id)
    assert store.list_expired_files(time.time() + 1e9) == []
    store.change_batch("batch_1", status="completed")
    assert store.list_expired_files(time.time() + 1e9) == [file_id]
