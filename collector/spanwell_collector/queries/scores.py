"""Scores: what users, judges, code and people said about a trace or a span."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import pyarrow as pa

from spanwell_collector.queries.metrics import choose_bucket
from spanwell_collector.queries.selection import Selection, statement
from spanwell_collector.queries.sources import BUCKET
from spanwell_collector.store.client import Store

PASS: Final = 0.5  # a score above this counts as passed; a judge that is unsure gives 0.5
LATEST: Final = "spanwell.scores FINAL"
GROUPS: Final = ("name", "source", "model", "app")
OF_SPANS: Final = frozenset({"model", "app"})


class Score(NamedTuple):
    """A row of spanwell.scores. (trace, span, name, source, author) identifies it: a later one replaces it."""

    project: str
    ts: datetime
    trace_id: str
    span_id: str
    name: str
    source: str
    author: str
    value: float
    label: str
    comment: str
    rubric: str
    sample_share: float


class ScoreFilter(NamedTuple):
    """Empty means any."""

    name: str = ""
    source: str = ""
    trace_id: str = ""
    span_id: str = ""


def store_scores(store: Store, scores: Sequence[Score]) -> None:
    version = time.time_ns()
    rows = [(*score, version + index) for index, score in enumerate(scores)]
    store.insert("scores", rows, (*Score._fields, "version"))


def list_scores(store: Store, selection: Selection, only: ScoreFilter, *, limit: int) -> pa.Table:
    """Newest first. Asking for one trace leaves the window out."""
    sql = statement(
        "SELECT " + ", ".join(Score._fields),
        f"FROM {LATEST}",
        "WHERE " + (_chosen(only) if only.trace_id else f"{selection.where()} AND {_chosen(only)}"),
        "ORDER BY ts DESC, trace_id, span_id, name LIMIT {limit:UInt32}",
    )
    return store.query(sql, {**selection.parameters(), **_bound(only), "limit": limit})


def summarize_scores(store: Store, selection: Selection, by: Sequence[str]) -> pa.Table:
    """Count, mean and share passed, a group."""
    groups = ", ".join(f"{name} AS g_{name}" for name in by)
    sql = statement(
        f"SELECT {groups}, count() AS scores, avg(value) AS mean, countIf(value > {PASS}) / count() AS pass_rate",
        f"FROM ({_scored(selection, by)})",
        "GROUP BY " + ", ".join(f"g_{name}" for name in by),
        "ORDER BY scores DESC, " + ", ".join(f"g_{name}" for name in by),
    )
    rows = store.query(sql, selection.parameters())
    return rows.rename_columns([*by, "scores", "mean", "pass_rate"])


def get_score_series(store: Store, selection: Selection, by: str) -> pa.Table:
    """Count and mean a bucket of time and a group."""
    sql = statement(
        f"SELECT {BUCKET.format(column='ts')} AS bucket,",
        f"{by} AS grp, count() AS scores, avg(value) AS mean",
        f"FROM ({_scored(selection, [by])})",
        "GROUP BY bucket, grp ORDER BY bucket, grp",
    )
    rows = store.query(sql, {"bucket": choose_bucket(selection.length), **selection.parameters()})
    return rows.rename_columns(["ts", by, "scores", "mean"])


def _scored(selection: Selection, by: Sequence[str]) -> str:
    if not OF_SPANS.intersection(by):
        return statement("SELECT name, source, value, ts", f"FROM {LATEST}", f"WHERE {selection.where()}")
    # A score knows neither: they are its span's, or those of its trace's first model call.
    return statement(
        "SELECT name, source, value, ts, if(mapContains(models, span_id), models[span_id], first_model) AS model, app",
        "FROM (SELECT trace_id, span_id, name, source, value, ts",
        f"FROM {LATEST}",
        f"WHERE {selection.where()}) AS scores",
        "LEFT JOIN (SELECT trace_id, argMin(model, (model = '', ts)) AS first_model, argMin(app, ts) AS app,",
        "mapFromArrays(groupArrayIf(span_id, model != ''), groupArrayIf(model, model != '')) AS models",
        "FROM spanwell.spans",
        "WHERE project = {project:String} AND purpose = '' AND trace_id IN",
        "(SELECT trace_id",
        f"FROM {LATEST}",
        f"WHERE {selection.where()})",
        "GROUP BY trace_id) AS traces USING (trace_id)",
    )


def _chosen(only: ScoreFilter) -> str:
    given = [name for name, value in only._asdict().items() if value]
    return " AND ".join(["project = {project:String}", *(f"{name} = {{only_{name}:String}}" for name in given)])


def _bound(only: ScoreFilter) -> dict[str, str]:
    return {f"only_{name}": value for name, value in only._asdict().items() if value}
