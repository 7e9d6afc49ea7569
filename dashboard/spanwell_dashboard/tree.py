"""The rows of a waterfall: spans in tree order with their depth, whatever shape the spans are in."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """What a waterfall shows of a span; `start_ms` counts from anywhere, the same for all."""

    span_id: str
    parent_span_id: str
    name: str
    operation: str
    status: str
    start_ms: float
    duration_ms: float


class Row(NamedTuple):
    """A span at its place: `size` spans, itself included, hang on it."""

    span: Span
    depth: int
    size: int
    orphan: bool


def arrange(spans: Sequence[Span]) -> list[Row]:
    """Depth-first rows, siblings by start; every span exactly once.

    A span whose parent is not there (yet) is an orphan and stands at the top. In a cycle of parents the earliest span
    stands at the top. Of spans with the same id, the first is the parent of the others' children.
    """
    order = sorted(range(len(spans)), key=lambda index: (spans[index].start_ms, index))
    first = _first_by_id(spans, order)
    children: dict[int, list[int]] = defaultdict(list)
    roots: list[int] = []
    for index in order:
        parent = first.get(spans[index].parent_span_id, index)
        (roots if parent == index else children[parent]).append(index)
    rows: list[Row] = []
    placed: set[int] = set()
    for root in [*roots, *order]:  # after the roots, whatever is left hangs in a cycle
        if root not in placed:
            orphan = spans[root].parent_span_id != ""
            rows.extend(_descend(spans, children, root, placed, orphan))
    return rows


def _first_by_id(spans: Sequence[Span], order: Sequence[int]) -> dict[str, int]:
    first: dict[str, int] = {}
    for index in order:
        first.setdefault(spans[index].span_id, index)
    return first


def _descend(
    spans: Sequence[Span], children: dict[int, list[int]], root: int, placed: set[int], orphan: bool
) -> list[Row]:
    """The subtree of `root` without recursion: a trace may be deeper than Python's stack."""
    visits: list[tuple[int, int]] = []
    stack = [(root, 0)]
    while stack:
        index, depth = stack.pop()
        if index in placed:
            continue
        placed.add(index)
        visits.append((index, depth))
        stack.extend((child, depth + 1) for child in reversed(children[index]))
    sizes = _sizes([depth for _, depth in visits])
    return [
        Row(spans[index], depth, size, orphan and depth == 0)
        for (index, depth), size in zip(visits, sizes, strict=True)
    ]


def _sizes(depths: Sequence[int]) -> list[int]:
    """How many rows each subtree spans, from the depths of rows in depth-first order."""
    sizes = [1] * len(depths)
    open_rows: list[int] = []
    for row, depth in enumerate([*depths, -1]):
        while open_rows and depths[open_rows[-1]] >= depth:
            closed = open_rows.pop()
            sizes[closed] = row - closed
        open_rows.append(row)
    return sizes
