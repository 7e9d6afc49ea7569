import sqlite3
from collections.abc import Iterator

import pytest

from spanwell.transactions import transaction


@pytest.fixture
def state() -> Iterator[sqlite3.Connection]:
    state = sqlite3.connect(":memory:", isolation_level=None)
    state.execute("CREATE TABLE spent (usd INTEGER)")
    yield state
    state.close()


def test_what_is_written_inside_stays(state: sqlite3.Connection) -> None:
    with transaction(state):
        state.execute("INSERT INTO spent VALUES (1)")

    assert (state.execute("SELECT usd FROM spent").fetchall(), state.in_transaction) == ([(1,)], False)


def test_nothing_stays_of_what_was_interrupted(state: sqlite3.Connection) -> None:
    def spend_and_stop() -> None:
        with transaction(state):
            state.execute("INSERT INTO spent VALUES (1)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spend_and_stop()

    assert (state.execute("SELECT usd FROM spent").fetchall(), state.in_transaction) == ([], False)


def test_the_lock_is_held_from_the_start(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("state") / "state.db"
    mine = sqlite3.connect(path, isolation_level=None)
    theirs = sqlite3.connect(path, isolation_level=None, timeout=0)

    with transaction(mine), pytest.raises(sqlite3.OperationalError, match="locked"), transaction(theirs):
        pass

    mine.close()
    theirs.close()
