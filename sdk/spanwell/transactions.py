"""One transaction of SQLite, for the state files of proxy and worker."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All statements inside, or none of them, on a connection in autocommit mode.

    The write lock is held from the start, so that what is read inside is still true when it is acted on.
    """
    with connection:  # commits, or rolls back whatever goes wrong
        connection.execute("BEGIN IMMEDIATE")
        yield
