"""What is kept is found, in memory and in what workers share, until it expires, makes room or is purged."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from spanwell_proxy.caches import shelf, sqlite
from spanwell_proxy.caches.entry import Entry, decode, encode
from spanwell_proxy.caches.redis import RedisStore
from spanwell_proxy.caches.shelf import OVERHEAD_BYTES, Put, Shelf, Store
from spanwell_proxy.caches.sqlite import SqliteStore

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = time.time()
LIFE_S = 7200.0  # longer than a run of all tests
Open = Callable[..., Any]


def entry(**facts: Any) -> Entry:
    usual: dict[str, Any] = {"deployment": "fox-0", "served": "fox", "model": "fox", "key_id": "key_1", "trace_id": "t"}
    usual |= {
        "asked_at": NOW,
        "stored_at": NOW,
        "expires_at": NOW + LIFE_S,
        "took_ms": 12.5,
        "cost_usd": Decimal("0.001"),
        "body": b"{}",
    }
    return Entry(**usual | facts)


@pytest.fixture
def open_shelf(where: dict[str, Any], tmp_path: Path) -> Open:
    """Opens a shelf of one worker; all share the store."""

    @asynccontextmanager
    async def open_one(*, max_bytes: int = 10_000_000, memory_bytes: int = 1_000_000) -> AsyncIterator[Shelf]:
        store: Store = (
            RedisStore(where["redis_url"], max_bytes) if where else SqliteStore(tmp_path / "cache.db", max_bytes)
        )
        shelf = Shelf(store, memory_bytes)
        yield shelf
        await shelf.close()

    return open_one


def test_an_entry_is_read_as_it_was_written() -> None:
    assert decode(encode(entry(body=b"a\nb"))) == entry(body=b"a\nb")
    assert decode(encode(entry(cost_usd=None))) == entry(cost_usd=None)


@pytest.mark.parametrize(
    "stored", [b"", b"{}", b"[1]\n{}", b'{"cost_usd": null, "colour": 1}\n{}', b'{"cost_usd": "x"}\n']
)
def test_what_another_version_wrote_is_no_answer(stored: bytes) -> None:
    assert decode(stored) is None


async def test_a_newer_answer_takes_the_place_of_one_in_memory(open_shelf: Open) -> None:
    large = entry(body=b"x" * 5000)  # there is no room for it in memory
    async with open_shelf(memory_bytes=10_000) as shelf:
        shelf.put(KEY, entry())
        shelf.put(KEY, large)

        assert await shelf.get(KEY, NOW) == large


async def test_what_has_expired_in_memory_may_be_newer_in_the_store(open_shelf: Open) -> None:
    async with open_shelf() as one, open_shelf() as other:
        one.put(KEY, entry(expires_at=NOW + 1))
        await one.write()
        newer = entry(expires_at=NOW + LIFE_S)
        other.put(KEY, newer)
        await other.write()

        assert await one.get(KEY, NOW + 2) == newer


async def test_what_was_purged_stays_so_while_nobody_can_tell(open_shelf: Open) -> None:
    async with open_shelf() as shelf:
        shelf.put(KEY, entry())
        assert await shelf.purge("all")
        store, shelf.store = shelf.store, RedisStore("redis://127.0.0.1:1/0", 1000)

        await shelf.look()
        found, noted = await shelf.get(KEY, NOW), await shelf.purge("model:fox")
        shelf.store = store

    assert (found, noted) == (None, False)


async def test_a_purge_knows_the_model_that_answered_too(open_shelf: Open) -> None:
    async with open_shelf() as shelf:
        shelf.put(KEY, entry(model="asked", served="fallback"))
        await shelf.purge("model:fallback")

        assert await shelf.get(KEY, NOW) is None


async def test_a_worker_that_starts_knows_what_was_purged(open_shelf: Open) -> None:
    async with open_shelf() as one, open_shelf() as starting:
        one.put(KEY, entry())
        await one.purge("model:fox")
        running = asyncio.create_task(starting.run())
        await asyncio.sleep(0.02)
        found = await starting.get(KEY, NOW)
        running.cancel()

    assert found is None


async def test_another_worker_finds_what_was_written(open_shelf: Open) -> None:
    async with open_shelf() as one, open_shelf() as other:
        one.put(KEY, entry())
        await one.write()

        assert await other.get(KEY, NOW) == entry()
        assert await other.get(OTHER, NOW) is None


async def test_the_worker_itself_finds_it_at_once(open_shelf: Open) -> None:
    async with open_shelf(memory_bytes=1) as forgetful, open_shelf() as usual:
        for shelf in (forgetful, usual):
            shelf.put(KEY, entry())

            assert await shelf.get(KEY, NOW) == entry()


async def test_an_answer_counts_until_it_expires(open_shelf: Open) -> None:
    async with open_shelf() as one, open_shelf() as other:
        one.put(KEY, entry())
        await one.write()

        assert await one.get(KEY, NOW + LIFE_S) is None
        assert await other.get(KEY, NOW + LIFE_S) is None


async def test_the_oldest_make_room(open_shelf: Open) -> None:
    keys = [bytes([number]) * 32 for number in range(40)]
    async with open_shelf(max_bytes=12_000) as one, open_shelf() as other:
        for key in keys:
            one.put(key, entry(body=b"x" * 1000))
        await one.write()

        found = [key for key in keys if await other.get(key, NOW)]

    assert found == keys[-len(found) :]
    assert 7 <= len(found) <= 12


async def test_the_memory_has_its_bound(open_shelf: Open) -> None:
    async with open_shelf(memory_bytes=10 * (1000 + OVERHEAD_BYTES)) as shelf:
        for number in range(40):
            shelf.put(bytes([number]) * 32, entry(body=b"x" * 1000))

        assert shelf.held == 10


@pytest.mark.parametrize(
    ("what", "left"), [("all", set()), ("model:fox", {"owl"}), ("key:key_1", {"owl"}), ("model:cat", {"fox", "owl"})]
)
async def test_what_was_purged_counts_nowhere(open_shelf: Open, what: str, left: set[str]) -> None:
    keys = {"fox": KEY, "owl": OTHER}
    async with open_shelf() as one, open_shelf() as other:
        one.put(KEY, entry())
        one.put(OTHER, entry(model="owl", served="owl", key_id="key_2"))
        await one.purge(what)

        found = {name for name, key in keys.items() if await one.get(key, NOW)}
        await other.look()
        elsewhere = {name for name, key in keys.items() if await other.get(key, NOW)}

    assert found == elsewhere == left


async def test_what_is_kept_after_a_purge_counts(open_shelf: Open) -> None:
    async with open_shelf() as shelf:
        await shelf.purge("all")
        later = entry(asked_at=time.time() + 1)
        shelf.put(KEY, later)

        assert await shelf.get(KEY, NOW) == later


async def test_a_redis_that_is_away_is_a_cache_that_holds_nothing() -> None:
    shelf = Shelf(RedisStore("redis://127.0.0.1:1/0", 1000), 1)
    shelf.put(KEY, entry())
    await shelf.write()

    assert await shelf.get(OTHER, NOW) is None
    assert await shelf.store.count() == 0
    await shelf.close()


async def test_calls_do_not_wait_to_find_out_whether_redis_is_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", 1000)
        await store.get(KEY)
        began = time.perf_counter()
        for _ in range(100):
            await store.get(KEY)
        await store.close()

    assert time.perf_counter() - began < 0.1


async def test_a_redis_that_came_back_is_asked_again(redis_url: str) -> None:
    store = RedisStore(redis_url, 1_000_000)
    await store.put_many([Put(KEY, b"a", NOW + LIFE_S)])
    store._leave_alone(OSError())

    before = await store.get(KEY)
    await store.catch_up()

    assert (before, await store.get(KEY)) == (None, b"a")
    await store.close()


async def test_redis_forgets_the_oldest_that_have_expired(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
    store = RedisStore(redis_url, 1_000_000)
    await store.put_many([Put(bytes([number]) * 32, b"a", NOW) for number in range(5)])  # they end at once
    await asyncio.sleep(0.01)
    await store.put_many([Put(OTHER, b"a", NOW + LIFE_S)])

    assert await store.count() == 1
    await store.close()


async def test_a_worker_that_looks_around_finds_what_another_wrote(open_shelf: Open) -> None:
    async with open_shelf() as one, open_shelf() as other:
        await other.look()
        one.put(KEY, entry())
        await one.write()
        await other.look()

        assert await other.get(KEY, NOW) == entry()
        assert await other.get(OTHER, NOW) is None


async def test_what_is_written_elsewhere_is_learned_after_a_purge_too(open_shelf: Open) -> None:
    async with open_shelf() as one, open_shelf() as other:
        one.put(OTHER, entry())
        await one.write()
        await other.look()
        await one.purge("all")
        later = entry(asked_at=time.time() + 1)
        one.put(KEY, later)
        await one.write()
        await other.look()

        assert await other.get(KEY, NOW) == later


async def test_a_worker_that_stopped_looking_asks_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "KNOWN_S", 0.0)
    one, other = (SqliteStore(tmp_path / "cache.db", 1_000_000) for _ in range(2))
    await other.catch_up()
    await one.put_many([Put(KEY, b"a", NOW + LIFE_S)])

    assert await other.get(KEY) == b"a"
    await one.close()
    await other.close()


async def test_a_full_sieve_is_replaced_by_one_that_knows_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MOST_KEYS", 5)
    monkeypatch.setattr(sqlite, "KEYS_A_LOOK", 3)
    keys = [bytes([number]) * 32 for number in range(10)]
    store = SqliteStore(tmp_path / "cache.db", 1_000_000)
    await store.put_many(Put(key, key, NOW + LIFE_S) for key in keys)
    for _ in range(2):
        await store.catch_up()

    assert [await store.get(key) for key in keys] == keys
    assert store._sieve.added == len(keys)
    await store.close()


async def test_many_answers_that_wait_are_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "LOOK_EVERY_S", 60.0)
    monkeypatch.setattr(shelf, "MANY_WAITING_BYTES", 10)
    one = Shelf(SqliteStore(tmp_path / "cache.db", 1_000_000), 1_000_000)
    running = asyncio.create_task(one.run())
    await asyncio.sleep(0.05)
    one.put(KEY, entry())
    await asyncio.sleep(0.2)
    running.cancel()

    assert await one.store.count() == 1
    await one.close()
