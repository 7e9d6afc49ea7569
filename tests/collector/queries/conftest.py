"""One store for the module; each test has a project of its own, and writes rows as the pipeline would."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spanwell_collector.queries.selection import Selection
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate

NOW = datetime.now(UTC).replace(microsecond=0)
DEFAULTS = {"operation": "chat", "status": "ok", "name": "chat small", "model": "small", "duration_ms": 100.0}
INDEX = """
INSERT INTO spanwell.trace_index (trace_id, first_ts, last_ts)
SELECT trace_id, min(ts), max(ts) FROM spanwell.spans WHERE project = {project:String} GROUP BY trace_id
"""

AddSpans = Callable[[Sequence[Mapping[str, Any]]], None]
AddTexts = Callable[[Sequence[Mapping[str, Any]]], None]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("store"))
    migrate(store, load_migrations())
    yield store
    store.close()


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@pytest.fixture
def add_spans(store: Store, project: str) -> AddSpans:
    """Store spans of the test's project; ids and times that are left out count up."""

    def add(spans: Sequence[Mapping[str, Any]]) -> None:
        columns = sorted({"project", "ts", "trace_id", "span_id", *DEFAULTS}.union(*spans))
        rows = [_complete(span, project, index) for index, span in enumerate(spans, 1)]
        store.insert("spans", [[row.get(name, _empty(name)) for name in columns] for row in rows], columns)
        store.command(INDEX, {"project": project})

    return add


@pytest.fixture
def add_texts(store: Store, project: str) -> AddTexts:
    """Store texts of the test's project."""

    def add(texts: Sequence[Mapping[str, Any]]) -> None:
        columns = ["project", "ts", "trace_id", "span_id", "source", "input", "output"]
        rows = [
            {"source": "", "input": "", "output": "", **_complete(text, project, at)}
            for at, text in enumerate(texts, 1)
        ]
        store.insert("texts", [[row[name] for name in columns] for row in rows], columns)

    return add


@pytest.fixture
def selection(project: str) -> Selection:
    """The last hour of the test's project."""
    return Selection(project, NOW - timedelta(hours=1), NOW)


def trace_id(number: int) -> str:
    return f"{number:032x}"


def span_id(number: int) -> str:
    return f"{number:016x}"


def _complete(row: Mapping[str, Any], project: str, index: int) -> dict[str, Any]:
    ids = {"trace_id": trace_id(index), "span_id": span_id(index)}
    return {"project": project, "ts": NOW - timedelta(seconds=index), **ids, **DEFAULTS, **row}


def _empty(name: str) -> Any:
    if name in ("attributes", "resource", "usage", "costs"):
        return {}
    return (
        None if name.endswith(("_usd", "ttft_ms")) else [] if name == "tags" else 0 if name.endswith("tokens") else ""
    )
