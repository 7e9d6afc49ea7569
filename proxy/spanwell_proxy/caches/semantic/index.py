"""Vectors by partition, searched by brute force: a partition is one tenant's questions to one prompt, and is small."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
FIRST_ROWS: Final = 1  # of a partition: each turn of a conversation is one of its own


FEW_ROWS: Final = 1000  # take less time than the way to a thread


class Near(NamedTuple):
    """A question that was asked before. `key` is the exact cache's."""

    similarity: float
    text: str
    key: bytes
    expires_at: float


@dataclass
class Partition:
    """Rows of unit vectors; a full partition forgets its oldest row."""

    rows: Vector
    texts: list[str] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    expire: list[float] = field(default_factory=list)
    places: dict[bytes, int] = field(default_factory=dict)
    next_row: int = 0

    def add(self, vector: Vector, text: str, key: bytes, expires_at: float, most: int) -> bool:
        """True where the partition has grown by a row."""
        if key in self.places:
            self.expire[self.places[key]] = expires_at
            return False
        at, grows = self.next_row, len(self.texts) < most
        if at == len(self.rows):
            self.rows = np.concatenate([self.rows, np.zeros_like(self.rows)])[:most]
        if grows:
            self.texts.append(text)
            self.keys.append(key)
            self.expire.append(expires_at)
        else:
            del self.places[self.keys[at]]
            self.texts[at], self.keys[at], self.expire[at] = text, key, expires_at
        self.rows[at], self.places[key], self.next_row = vector, at, (at + 1) % most
        return grows

    def rank(self, vector: Vector, least: float, most: int) -> list[int]:
        """The nearest rows, the nearest first. May run in a thread beside `add`: what it says has to be looked at."""
        alike = self.rows[: len(self.texts)] @ vector
        found = np.flatnonzero(alike >= least)
        return [int(at) for at in found[np.argsort(-alike[found])][:most]]

    def look_at(self, ranked: list[int], vector: Vector, now: float, least: float) -> list[Near]:
        """Those rows as they are now, that have not expired."""
        near = (Near(float(self.rows[at] @ vector), self.texts[at], self.keys[at], self.expire[at]) for at in ranked)
        return [one for one in near if one.expires_at > now and one.similarity >= least]


class Index:
    """All partitions, bounded in rows together; the one that was used longest ago goes first."""

    def __init__(self, most_rows: int, most_a_partition: int = 20_000) -> None:
        self._partitions: OrderedDict[bytes, Partition] = OrderedDict()
        self._most_rows = most_rows
        self._most_a_partition = min(most_a_partition, most_rows)
        self.rows = 0

    def add(self, partition: bytes, vector: Vector, text: str, key: bytes, expires_at: float) -> None:
        found = self._partitions.get(partition)
        if found is None:
            found = self._partitions[partition] = Partition(np.zeros((FIRST_ROWS, len(vector)), dtype=np.float32))
        if found.rows.shape[1] != len(vector):  # another embedder's
            return
        self._partitions.move_to_end(partition)
        self.rows += found.add(vector, text, key, expires_at, self._most_a_partition)
        while self.rows > self._most_rows and len(self._partitions) > 1:
            _, oldest = self._partitions.popitem(last=False)
            self.rows -= len(oldest.texts)

    def has(self, partition: bytes) -> bool:
        return partition in self._partitions

    def find(self, partition: bytes, vector: Vector, now: float, least: float, most: int = 3) -> list[Near]:
        """The nearest that have not expired, the nearest first."""
        found = self._use(partition, vector)
        return found.look_at(found.rank(vector, least, most * 4), vector, now, least)[:most] if found else []

    async def search(self, partition: bytes, vector: Vector, now: float, least: float, most: int = 3) -> list[Near]:
        """As `find`; other calls go on while many rows are compared."""
        found = self._use(partition, vector)
        if found is None or len(found.texts) <= FEW_ROWS:
            return self.find(partition, vector, now, least, most)
        ranked = await asyncio.to_thread(found.rank, vector, least, most * 4)
        return found.look_at(ranked, vector, now, least)[:most]

    def _use(self, partition: bytes, vector: Vector) -> Partition | None:
        found = self._partitions.get(partition)
        if found is None or found.rows.shape[1] != len(vector):
            return None
        self._partitions.move_to_end(partition)
        return found
