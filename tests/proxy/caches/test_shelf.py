"""What is kept is found, in memory and in what workers share, until it expires, makes room or is purged."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spanwell_proxy.caches.entry import Entry, decode, encode
from spanwell_proxy.caches.redis import RedisStore
from spanwell_proxy.caches.shelf import Shelf, Store
from spanwell_proxy.caches.sqlite import SqliteStore

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = time.time()
Open = Callable[..., Any]


def entry(**facts: Any) -> Entry:
    usual: dict[str, Any] = {"deployment": "fox-0", "served": "fox", "model": "fox", "key_id": "key_1", "trace_id": "t"}
    usual |= {"stored_at": NOW, "expires_at": NOW + 60, "took_ms": 12.5, "cost_usd": Decimal("0.001"), "body": b"{}"}
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
    assert decode(encode(entry(cost_usd=None))).cost_usd is None


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

        assert await one.get(KEY, NOW + 60) is None
        assert await other.get(KEY, NOW + 60) is None


async def test_the_oldest_make_room(open_shelf: Open) -> None:
    keys = [bytes([number]) * 32 for number in range(40)]
    async with open_shelf(max_bytes=12_000) as one, open_shelf() as other:
        for key in keys:
            one.put(key, entry(body=b"x" * 1000))
        await one.write()

        found = [key for key in keys if await other.get(key, NOW)]

    assert found == keys[-len(found) :]
    assert 8 <= len(found) <= 12


async def test_the_memory_has_its_bound(open_shelf: Open) -> None:
    async with open_shelf(memory_bytes=12_000) as shelf:
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
        one.put(OTHER, entry(model="owl", key_id="key_2"))
        await one.purge(what)

        found = {name for name, key in keys.items() if await one.get(key, NOW)}
        await other.look_for_purges()
        elsewhere = {name for name, key in keys.items() if await other.get(key, NOW)}

    assert found == elsewhere == left


async def test_what_is_kept_after_a_purge_counts(open_shelf: Open) -> None:
    async with open_shelf() as shelf:
        await shelf.purge("all")
        later = entry(stored_at=time.time() + 1)
        shelf.put(KEY, later)

        assert await shelf.get(KEY, NOW) == later


async def test_a_redis_that_is_away_is_a_cache_that_holds_nothing() -> None:
    shelf = Shelf(RedisStore("redis://127.0.0.1:1/0", 1000), 1)
    shelf.put(KEY, entry())
    await shelf.write()

    assert await shelf.get(OTHER, NOW) is None
    assert await shelf.store.count() == 0
    await shelf.close()
