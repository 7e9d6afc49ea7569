"""Experiments in the proxy's SQLite file, shared by the workers of one machine. Its work is done on a thread."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from spanwell.transactions import transaction
from spanwell_proxy.experiments.store import Counts, Observation, Shared, StoreAwayError
from spanwell_proxy.routing.evidence import Tally
from spanwell_proxy.routing.experiments import State
from spanwell_proxy.state import open_state

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS trials (
    name TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    arm TEXT NOT NULL,
    edition TEXT NOT NULL,
    run INTEGER NOT NULL,
    reason TEXT NOT NULL,
    by TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS trial_tallies (
    trial TEXT NOT NULL,
    arm TEXT NOT NULL,
    metric TEXT NOT NULL,
    size INTEGER NOT NULL,
    total REAL NOT NULL,
    squares REAL NOT NULL,
    PRIMARY KEY (trial, arm, metric)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trial_units (
    trial TEXT NOT NULL,
    unit INTEGER NOT NULL,
    PRIMARY KEY (trial, unit)
) STRICT, WITHOUT ROWID;
"""
ADD: Final = (
    "INSERT INTO trial_tallies VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " size = size + excluded.size, total = total + excluded.total, squares = squares + excluded.squares"
)
SET: Final = "INSERT OR REPLACE INTO trial_tallies VALUES (?, ?, ?, ?, ?, ?)"
Result = TypeVar("Result")


class SqliteTrials:
    """Every worker opens its own."""

    def __init__(self, path: Path) -> None:
        self._state = open_state(path)
        self._state.executescript(SCHEMA)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="experiments")

    async def sync(self, observations: Sequence[Observation], trials: Sequence[str]) -> Shared:
        return await self._run(lambda: sync(self._state, observations, trials))

    async def decide(self, name: str, state: State, *, only_if: State | None = None) -> bool:
        return await self._run(lambda: decide(self._state, name, state, only_if))

    async def replace(self, trial: str, counts: Counts) -> None:
        rows = [(trial, arm, metric, *tally) for (arm, metric), tally in counts.items()]
        await self._run(lambda: self._state.executemany(SET, rows))

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        self._state.close()

    async def _run(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise StoreAwayError(f"the experiments cannot be read now: {error}") from error


def sync(state: sqlite3.Connection, observations: Sequence[Observation], trials: Sequence[str]) -> Shared:
    """One transaction where there is something to add."""
    if observations:
        with transaction(state):
            new = [one for one in observations if not one.unit or _note_unit(state, one)]
            state.executemany(ADD, _rows(new))
    states = {name: State(*row) for name, *row in state.execute("SELECT * FROM trials")}
    counts: dict[str, dict[tuple[str, str], Tally]] = {trial: {} for trial in trials}
    for trial in trials:
        rows = state.execute("SELECT arm, metric, size, total, squares FROM trial_tallies WHERE trial = ?", (trial,))
        counts[trial] = {(arm, metric): Tally(*tally) for arm, metric, *tally in rows}
    return Shared(states, counts)


def decide(state: sqlite3.Connection, name: str, wanted: State, only_if: State | None) -> bool:
    with transaction(state):
        row = state.execute(
            "SELECT status, arm, edition, run, reason, by, at FROM trials WHERE name = ?", (name,)
        ).fetchone()
        if only_if is not None and (State(*row) if row else State()) != only_if:
            return False
        state.execute("INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (name, *wanted))
    return True


def _note_unit(state: sqlite3.Connection, one: Observation) -> bool:
    return state.execute("INSERT OR IGNORE INTO trial_units VALUES (?, ?)", (one.trial, one.unit)).rowcount > 0


def _rows(observations: Sequence[Observation]) -> Iterable[tuple[str, str, str, int, float, float]]:
    for trial, arm, _, values in observations:
        for metric, value in values:
            yield trial, arm, metric, 1, value, value * value
