"""What a look into the caches costs: `python -m tests.bench.proxy_cache`. CPU time of this process, all threads."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np
import orjson

from spanwell_proxy.caches.entry import Entry
from spanwell_proxy.caches.exact import cache_key
from spanwell_proxy.caches.semantic.guard import find_difference
from spanwell_proxy.caches.semantic.index import Index
from spanwell_proxy.caches.shelf import LOOK_EVERY_S, Shelf
from spanwell_proxy.caches.sqlite import SqliteStore

CALLS: Final = 5000
ROWS: Final = 10_000
DIMENSIONS: Final = 384
REQUEST: Final = {
    "model": "chat",
    "messages": [{"role": "user", "content": "x" * 900}],
    "temperature": 0.2,
    "max_tokens": 100,
}
BODY: Final = orjson.dumps({"choices": [{"message": {"content": "y" * 700}}]})
QUESTIONS: Final = ("How do I reset the password of my account?", "How can I reset my account's password?")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "cache.db", 256 * 1024 * 1024)
        shelf = Shelf(store, 32 * 1024 * 1024)
        running = asyncio.create_task(shelf.run())
        keys = [cache_key("chat", "key", REQUEST | {"seed": number}) for number in range(CALLS)]
        await _show("key of a 1 KB request", lambda number: _make_key(number))
        await _show("miss, which asks nobody", lambda number: _get(shelf, keys[number]))
        await _show("keep, and write behind", lambda number: _put(shelf, keys[number]))
        await _show("hit in memory", lambda number: _get(shelf, keys[number]))
        await _show("hit in SQLite", lambda number: _get_stored(store, keys[number]))
        running.cancel()
        await shelf.close()
    await _show_semantic()


async def _show(name: str, work: Callable[[int], Awaitable[object]]) -> None:
    began, wall = time.process_time(), time.perf_counter()
    for number in range(CALLS):
        await work(number)
        if number % 100 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(1.2 * LOOK_EVERY_S)  # what is written behind belongs to it
    cpu_us = (time.process_time() - began) / CALLS * 1e6
    sys.stdout.write(f"{name:<32}{cpu_us:>8.1f} us CPU{(time.perf_counter() - wall) / CALLS * 1e6:>8.1f} us wall\n")


async def _make_key(number: int) -> bytes:
    return cache_key("chat", "key", REQUEST | {"seed": number})


async def _get(shelf: Shelf, key: bytes) -> Entry | None:
    return await shelf.get(key, time.time())


async def _get_stored(store: SqliteStore, key: bytes) -> bytes | None:
    return await store.get(key)


async def _put(shelf: Shelf, key: bytes) -> None:
    now = time.time()
    shelf.put(key, Entry("d", "m", "m", "k", "t" * 32, now, now, now + 600, 12.0, Decimal("0.001"), BODY))


async def _show_semantic() -> None:
    dice = np.random.default_rng(1)
    index, rows = Index(100_000), dice.normal(size=(ROWS, DIMENSIONS)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for number, row in enumerate(rows):
        index.add(b"partition", row, QUESTIONS[0], b"%d" % number, 2e9)

    async def look(number: int) -> object:
        return await index.search(b"partition", rows[number], 1e9, 0.92)

    async def compare(_: int) -> object:
        return find_difference(*QUESTIONS)

    await _show(f"nearest of {ROWS:,} questions", look)
    await _show("guard against near misses", compare)


if __name__ == "__main__":
    asyncio.run(main())
