"""Where answers are kept: the newest in memory, all of them in a store that workers or hosts share.

What is kept is in memory at once and in the store a moment later, many in one write: a call never waits for it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import starmap
from typing import Final, NamedTuple, Protocol

from spanwell_proxy.caches.entry import Entry, decode, encode

LOOK_EVERY_S: Final = 0.5  # and write: many answers together cost the store, and the loop beside it, far less each
MANY_WAITING_BYTES: Final = 4 * 1024 * 1024  # these are written at once
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
OVERHEAD_BYTES: Final = 850  # of an entry in memory, beside its bytes: measured


class Put(NamedTuple):
    """An answer on its way to the store."""

    key: bytes
    answer: bytes
    expires_at: float


class Store(Protocol):
    """What is shared. A store that is away is a store that holds nothing: it raises no errors."""

    async def get(self, key: bytes) -> bytes | None: ...

    async def put_many(self, puts: Iterable[Put]) -> None:
        """`puts` are taken once, maybe on another thread."""

    async def purge(self, what: str, at: float) -> bool:
        """Let no answer count that was asked for before `at`: of `model:NAME`, of `key:ID`, or of `all`.

        False where that could not be noted.
        """

    async def catch_up(self) -> Mapping[str, float] | None:
        """Learn what others have written and purged: when what was. None where that cannot be known."""

    async def count(self) -> int:
        """Answers that it holds, about."""

    async def close(self) -> None: ...


class Shelf:
    """A store with a memory in front of it, bounded in bytes; the ones that were used longest ago go first."""

    def __init__(self, store: Store, memory_bytes: int) -> None:
        self.store = store
        self.dropped = 0  # answers that found no room on the way to the store
        self._memory: OrderedDict[bytes, Entry] = OrderedDict()
        self._memory_bytes = memory_bytes
        self._used_bytes = 0
        self._waiting: dict[bytes, Entry] = {}
        self._waiting_bytes = 0
        self._many_wait = asyncio.Event()
        self._purges: Mapping[str, float] = {}

    @property
    def held(self) -> int:
        return len(self._memory)

    async def get(self, key: bytes, now: float) -> Entry | None:
        if found := self._memory.get(key):
            if self._counts(found, now):
                self._memory.move_to_end(key)
                return found
            self._forget(key)  # others may have a newer one
        entry = self._waiting.get(key)  # no room in memory, and not written yet
        if entry is None:
            stored = await self.store.get(key)
            entry = decode(stored) if stored else None
        if entry is None or not self._counts(entry, now):
            return None
        self._remember(key, entry)
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep an answer. Never waits; one that there is no room for on the way to the store is in memory alone."""
        self._remember(key, entry)
        if self._waiting_bytes > MOST_WAITING_BYTES:
            self.dropped += 1
            return
        self._waiting[key] = entry
        self._waiting_bytes += _size_of(entry)
        if self._waiting_bytes > MANY_WAITING_BYTES:
            self._many_wait.set()

    async def write(self) -> None:
        """Bring what waits to the store."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        self._many_wait.clear()
        if waiting:
            await self.store.put_many(starmap(_to_put, waiting.items()))

    async def run(self) -> None:
        """Write, and look what others have written and purged, again and again. Runs until cancelled."""
        while True:
            await self.look()
            await self._pause()
            await self.write()

    async def look(self) -> None:
        """Learn what other workers have done. Purges that are known already hold while nobody can say."""
        purges = await self.store.catch_up()
        self._purges = self._purges if purges is None else purges

    async def purge(self, what: str) -> bool:
        """See Store.purge. Other workers know of it within a second."""
        await self.write()
        noted = await self.store.purge(what, time.time())
        await self.look()
        return noted

    async def close(self) -> None:
        await self.write()
        await self.store.close()

    def _counts(self, entry: Entry, now: float) -> bool:
        if entry.expires_at <= now:
            return False
        if not self._purges:
            return True
        names = ("all", f"model:{entry.model}", f"model:{entry.served}", f"key:{entry.key_id}")
        return all(self._purges.get(name, 0.0) < entry.asked_at for name in names)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._many_wait.wait()
        except TimeoutError:
            return

    def _remember(self, key: bytes, entry: Entry) -> None:
        self._forget(key)
        size = _size_of(entry)
        if size > self._memory_bytes // 4:
            return
        self._used_bytes += size
        self._memory[key] = entry
        while self._used_bytes > self._memory_bytes:
            self._used_bytes -= _size_of(self._memory.popitem(last=False)[1])

    def _forget(self, key: bytes) -> None:
        if before := self._memory.pop(key, None):
            self._used_bytes -= _size_of(before)


def _size_of(entry: Entry) -> int:
    return len(entry.body) + OVERHEAD_BYTES


def _to_put(key: bytes, entry: Entry) -> Put:
    return Put(key, encode(entry), entry.expires_at)
