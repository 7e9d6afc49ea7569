"""The nearest rows of a partition, within bounds."""

import numpy as np
import pytest

from spanwell_proxy.caches.semantic.index import Index, Vector

NOW = 1000.0


def unit(*numbers: float) -> Vector:
    vector = np.array(numbers, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def find(index: Index, partition: bytes, *numbers: float, least: float = 0.5) -> list[str]:
    return [near.text for near in index.find(partition, unit(*numbers), NOW, least)]


def test_the_nearest_comes_first() -> None:
    index = Index(100)
    for text, vector in {"far": unit(0, 1), "near": unit(1, 0.1), "middle": unit(1, 0.5)}.items():
        index.add(b"p", vector, text, text.encode(), NOW + 1)

    assert find(index, b"p", 1, 0) == ["near", "middle"]
    assert find(index, b"q", 1, 0) == []


@pytest.mark.parametrize("rows", [10, 3000])
async def test_many_rows_are_searched_as_few_are(rows: int) -> None:
    index = Index(10_000)
    for number in range(rows):
        index.add(b"p", unit(1, number), str(number), b"%d" % number, NOW + 1)

    assert await index.search(b"p", unit(1, 5), NOW, 0.9) == index.find(b"p", unit(1, 5), NOW, 0.9)
    assert await index.search(b"q", unit(1, 5), NOW, 0.9) == []


def test_a_row_that_was_taken_meanwhile_is_another_question() -> None:
    index = Index(10, most_a_partition=1)
    index.add(b"p", unit(1, 0), "before", b"b", NOW + 1)
    partition = index._partitions[b"p"]
    ranked = partition.rank(unit(1, 0), 0.9, 3)
    index.add(b"p", unit(0, 1), "after", b"a", NOW + 1)

    assert partition.look_at(ranked, unit(1, 0), NOW, 0.9) == []


def test_what_has_expired_is_not_found() -> None:
    index = Index(100)
    index.add(b"p", unit(1, 0), "old", b"o", NOW)

    assert find(index, b"p", 1, 0) == []


def test_the_same_key_is_one_row() -> None:
    index = Index(100)
    index.add(b"p", unit(1, 0), "a", b"k", NOW)
    index.add(b"p", unit(1, 0), "a", b"k", NOW + 1)

    assert (find(index, b"p", 1, 0), index.rows) == (["a"], 1)


@pytest.mark.parametrize("most", [1, 3, 17, 40])
def test_a_full_partition_forgets_its_oldest(most: int) -> None:
    index = Index(1000, most_a_partition=most)
    for number in range(50):
        index.add(b"p", unit(1, number), str(number), str(number).encode(), NOW + 1)

    kept = {near.text for near in index.find(b"p", unit(1, 1), NOW, -1, most=50)}
    assert kept == {str(number) for number in range(50 - most, 50)}
    assert index.rows == most


def test_partitions_make_room_for_each_other() -> None:
    index = Index(10)
    for number in range(20):
        index.add(b"%d" % number, unit(1, 0), str(number), b"k", NOW + 1)

    assert index.rows == 10
    assert not index.has(b"9")
    assert index.has(b"10")


def test_another_embedders_vectors_are_left_out() -> None:
    index = Index(10)
    index.add(b"p", unit(1, 0), "a", b"a", NOW + 1)
    index.add(b"p", unit(1, 0, 0), "b", b"b", NOW + 1)

    assert index.rows == 1
    assert find(index, b"p", 1, 0, 0) == []


def test_partitions_take_the_rows_that_they_need() -> None:
    index = Index(1000)
    for number in range(500):  # turns of conversations: a partition each
        index.add(b"%d" % number, unit(*[1.0] * 384), "q", b"k", NOW)

    assert sum(one.rows.nbytes for one in index._partitions.values()) == 500 * 384 * 4
