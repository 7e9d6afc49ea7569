from pathlib import Path

import pytest

from spanwell_proxy.backends.probe import Served
from spanwell_proxy.backends.redis import RedisBackends
from spanwell_proxy.backends.sqlite import SqliteBackends
from spanwell_proxy.backends.store import BackendStore, Known, StoreAwayError

GPU = {"url": "http://gpu:8000"}


async def test_what_was_added_is_known_until_it_is_removed(store: BackendStore) -> None:
    added = [await store.add("gpu", GPU), await store.add("gpu", {"url": "http://other"})]
    known = await store.list_known()
    removed = [await store.remove("gpu"), await store.remove("gpu")]

    assert (added, removed) == ([True, False], [True, False])
    assert known == [Known("gpu", GPU)]
    assert await store.list_known() == []


async def test_a_backend_of_the_file_is_drained_and_never_removed(store: BackendStore) -> None:
    await store.drain("gpu", drained=True)
    await store.keep_served("gpu", (Served("tiny", 1024), Served("lora")))

    assert await store.list_known() == [
        Known("gpu", None, is_drained=True, served=(Served("tiny", 1024), Served("lora")))
    ]
    assert await store.remove("gpu") is False

    await store.drain("gpu", drained=False)
    assert not (await store.list_known())[0].is_drained


async def test_every_change_is_counted_and_what_is_served_is_none(store: BackendStore) -> None:
    counts = [await store.count_changes("backends")]
    for change in (
        store.add("gpu", GPU),
        store.drain("gpu", drained=True),
        store.keep_served("gpu", ()),
        store.remove("gpu"),
        store.remove("gpu"),
    ):
        await change
        counts.append(await store.count_changes("backends"))

    assert [after - counts[0] for after in counts] == [0, 1, 2, 2, 3, 3]


async def test_a_reload_is_asked_for_apart(store: BackendStore) -> None:
    before = await store.count_changes("backends"), await store.count_changes("configuration")

    await store.ask_reload()

    assert (await store.count_changes("backends"), await store.count_changes("configuration")) == (
        before[0],
        before[1] + 1,
    )


async def test_calls_of_other_workers_are_added_up(store: BackendStore) -> None:
    await store.tell_draining("host:0", {"gpu": 3})
    await store.tell_draining("host:1", {"gpu": 2, "other": 1})
    await store.tell_draining("host:2", {"gpu": 5})
    await store.tell_draining("host:2", {"gpu": 0})

    assert await store.count_draining("host:0") == {"gpu": 2, "other": 1}
    assert (await store.count_draining("host:9"))["gpu"] == 5


async def test_a_backend_that_was_drained_and_is_added_anew_gets_calls(store: BackendStore) -> None:
    await store.add("gpu", GPU)
    await store.drain("gpu", drained=True)
    await store.remove("gpu")

    await store.add("gpu", GPU)

    assert await store.list_known() == [Known("gpu", GPU)]


async def test_a_store_that_is_away_says_so(tmp_path: Path) -> None:
    away = RedisBackends("redis://127.0.0.1:1")
    broken = SqliteBackends(tmp_path / "state.db")
    (tmp_path / "state.db").unlink()
    (tmp_path / "state.db").mkdir()

    with pytest.raises(StoreAwayError, match="Redis is away"):
        await away.list_known()
    with pytest.raises(StoreAwayError, match="cannot be written now"):
        await broken.add("gpu", GPU)
    await away.close()
    await broken.close()
