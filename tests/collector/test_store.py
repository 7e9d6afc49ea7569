"""What the store makes of the engine's errors."""

from contextlib import closing
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from spanwell.errors import QueryError, StoreError
from spanwell_collector.store.client import Store, told_apart


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DatabaseError("(total) memory limit exceeded: would use 6.1 GiB", code=241), StoreError),
        (DatabaseError("Query memory limit exceeded: would use 3.1 GiB", code=241), QueryError),
        (DatabaseError("No space left on device", code=243), StoreError),
        (DatabaseError("Cannot parse", code=6), QueryError),
        (DatabaseError("connection reset"), StoreError),
    ],
)
def test_what_may_pass_is_told_from_what_would_come_again(error: DatabaseError, expected: type[Exception]) -> None:
    with pytest.raises(StoreError) as caught, told_apart():
        raise error

    assert type(caught.value) is expected


def test_an_answer_cut_off_by_its_failure_is_not_part_of_the_next(tmp_path: Path) -> None:
    with closing(Store(path=tmp_path)) as store:
        with pytest.raises(QueryError, match="non-zero"):
            store.query("SELECT throwIf(number = 90000) AS broken FROM numbers(100000)")

        answer = store.query("SELECT 1 AS whole").to_pylist()

    assert answer == [{"whole": 1}]
