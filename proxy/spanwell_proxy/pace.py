"""How far the chunks of one stream were apart: counted by bucket while it passes, so that it costs next to nothing."""

from bisect import bisect_left
from typing import Final

GAPS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Pace:
    """`counts` are gaps up to each of GAPS_S, and beyond. Times are seconds of any one clock."""

    __slots__ = ("_chunks", "_first", "_last", "counts")

    def __init__(self, now: float, chunks: int) -> None:
        self.counts = [0] * (len(GAPS_S) + 1)
        self._first = self._last = now
        self._chunks = chunks

    def note(self, now: float, chunks: int) -> None:
        """`chunks` have come until `now`, all in all. Those that came together were as far apart as they were fast."""
        more = chunks - self._chunks
        if more > 0:
            self.counts[bisect_left(GAPS_S, (now - self._last) / more)] += more
            self._last, self._chunks = now, chunks

    @property
    def total_s(self) -> float:
        """All gaps together."""
        return self._last - self._first
