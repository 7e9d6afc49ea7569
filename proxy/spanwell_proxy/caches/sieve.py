"""Which keys a store surely does not hold, told from memory: most look-ups are for what nobody has asked before."""

import sys
from typing import Final

HEAD_BYTES: Final = 4  # of a key, which is a digest, that tell which bit it has
BITS: Final = 2**23  # a megabyte: of so many keys as an eighth of that, one in nine that are not there seems to be
MOST_KEYS: Final = BITS // 8


class Sieve:
    """Bits by the heads of keys. What was added stays: an old sieve is replaced by a new one."""

    def __init__(self) -> None:
        self.added = 0
        self._bits = bytearray(BITS // 8)

    def add(self, heads: bytes) -> None:
        """The first HEAD_BYTES of each key, one after the other."""
        bits, words = self._bits, memoryview(heads).cast("I")
        self.added += len(words)
        for word in words:
            bit = word % BITS
            bits[bit >> 3] |= 1 << (bit & 7)

    def lacks(self, key: bytes) -> bool:
        """Whether it was surely never added."""
        bit = int.from_bytes(key[:HEAD_BYTES], sys.byteorder) % BITS
        return not self._bits[bit >> 3] >> (bit & 7) & 1
