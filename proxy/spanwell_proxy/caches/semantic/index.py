"""Vectors by partition, searched by brute force: a partition is one tenant's questions to one prompt, and is small."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
FIRST_ROWS: Final = 1  # of a partition: each turn of a conversation is one of its own


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

    def find(self, vector: Vector, now: float, least: float, most: int) -> list[Near]:
        """The nearest rows that have not expired, the nearest first."""
        alike = self.rows[: len(self.texts)] @ vector
        found = np.flatnonzero(alike >= least)
        nearest = found[np.argsort(-alike[found])][: most * 4]
        near = [Near(float(alike[at]), self.texts[at], self.keys[at], self.expire[at]) for at in nearest]
        return [one for one in near if one.expires_at > now][:most]


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
        found = self._partitions.get(partition)
        if found is None or found.rows.shape[1] != len(vector):
            return []
        self._partitions.move_to_end(partition)
        return found.find(vector, now, least, most)
