"""Where answers are kept: the newest in memory, all of them in a store that workers or hosts share.

What is kept is in memory at once and in the store a moment later, many in one write: a call never waits for it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from spanwell_proxy.caches.entry import Entry, decode, encode

WRITE_EVERY_S: Final = 0.05
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
OVERHEAD_BYTES: Final = 200  # of an entry in memory, beside its bytes


class Put(NamedTuple):
    """An answer on its way to the store."""

    key: bytes
    answer: bytes
    expires_at: float


class Store(Protocol):
    """What is shared. A store that is away is a store that holds nothing: it raises no errors."""

    async def get(self, key: bytes) -> bytes | None: ...

    async def put_many(self, puts: Sequence[Put]) -> None: ...

    async def purge(self, what: str, at: float) -> None:
        """Let no answer count that was kept before `at`: of `model:NAME`, of `key:ID`, or of `all`."""

    async def read_purges(self) -> Mapping[str, float]: ...

    async def count(self) -> int:
        """Answers that it holds, about."""

    async def close(self) -> None: ...


class Shelf:
    """A store with a memory in front of it, bounded in bytes; the ones that were used longest ago go first."""

    def __init__(self, store: Store, memory_bytes: int) -> None:
        self.store = store
        self.dropped = 0  # answers that found no room on the way to the store
        self._memory: OrderedDict[bytes, tuple[Entry, int]] = OrderedDict()
        self._memory_bytes = memory_bytes
        self._used_bytes = 0
        self._waiting: dict[bytes, Put] = {}
        self._waiting_bytes = 0
        self._purges: Mapping[str, float] = {}

    @property
    def held(self) -> int:
        return len(self._memory)

    async def get(self, key: bytes, now: float) -> Entry | None:
        found = self._memory.get(key)
        if found:
            self._memory.move_to_end(key)
            return found[0] if self._counts(found[0], now) else None
        if key in self._waiting:  # no room in memory, and not written yet
            entry = decode(self._waiting[key].answer)
            return entry if self._counts(entry, now) else None
        stored = await self.store.get(key)
        if stored is None:
            return None
        entry = decode(stored)
        if not self._counts(entry, now):
            return None
        self._remember(key, entry)
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep an answer. Never waits; one that there is no room for on the way to the store is in memory alone."""
        self._remember(key, entry)
        if self._waiting_bytes > MOST_WAITING_BYTES:
            self.dropped += 1
            return
        put = Put(key, encode(entry), entry.expires_at)
        self._waiting[key] = put
        self._waiting_bytes += len(put.answer)

    async def write(self) -> None:
        """Bring what waits to the store."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        if waiting:
            await self.store.put_many(list(waiting.values()))

    async def run(self) -> None:
        """Write again and again, and look what was purged elsewhere. Runs until cancelled."""
        looked = 0.0
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self.write()
            if time.monotonic() - looked > WRITE_EVERY_S * 10:
                looked = time.monotonic()
                await self.look_for_purges()

    async def look_for_purges(self) -> None:
        """Learn what other workers have purged."""
        self._purges = await self.store.read_purges()

    async def purge(self, what: str) -> None:
        """See Store.purge. Other workers know of it within a second."""
        await self.write()
        await self.store.purge(what, time.time())
        await self.look_for_purges()

    async def close(self) -> None:
        await self.write()
        await self.store.close()

    def _counts(self, entry: Entry, now: float) -> bool:
        if entry.expires_at <= now:
            return False
        if not self._purges:
            return True
        names = ("all", f"model:{entry.model}", f"key:{entry.key_id}")
        return all(self._purges.get(name, 0.0) < entry.stored_at for name in names)

    def _remember(self, key: bytes, entry: Entry) -> None:
        size = len(entry.body) + OVERHEAD_BYTES
        if size > self._memory_bytes // 4:
            return
        before = self._memory.pop(key, None)
        self._used_bytes += size - (before[1] if before else 0)
        self._memory[key] = (entry, size)
        while self._used_bytes > self._memory_bytes:
            self._used_bytes -= self._memory.popitem(last=False)[1][1]
