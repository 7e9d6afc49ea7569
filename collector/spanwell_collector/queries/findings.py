"""What the worker found out: drift checks and alert events. Stored as they come, listed newest first."""

import time
from datetime import datetime
from typing import Final, NamedTuple

import pyarrow as pa

from spanwell_collector.queries.selection import Selection, statement
from spanwell_collector.store.client import Store


class DriftCheck(NamedTuple):
    """A row of spanwell.drift_checks; (segment, ts) identifies it."""

    project: str
    ts: datetime
    segment: str
    window_start: datetime
    reference_start: datetime
    reference_end: datetime
    sessions_reference: int
    sessions_current: int
    prompts_reference: int
    prompts_current: int
    statistic: float
    p_value: float
    alpha: float
    drifted: bool
    terms: list[str]
    examples: list[str]


class AlertEvent(NamedTuple):
    """A row of spanwell.alert_events; (ts, rule, fingerprint, state) identifies it."""

    project: str
    ts: datetime
    rule: str
    fingerprint: str
    state: str
    severity: str
    value: float
    threshold: float
    labels: dict[str, str]
    summary: str
    delivery: str
    receiver: str


TABLES: Final[dict[type[DriftCheck] | type[AlertEvent], str]] = {
    DriftCheck: "drift_checks",
    AlertEvent: "alert_events",
}


def store_finding(store: Store, finding: DriftCheck | AlertEvent) -> None:
    """Store it; the same one again replaces it."""
    store.insert(TABLES[type(finding)], [(*finding, time.time_ns())], (*finding._fields, "version"))


def list_findings(
    store: Store, kind: type[DriftCheck] | type[AlertEvent], selection: Selection, *, limit: int
) -> pa.Table:
    """Newest first."""
    sql = statement(
        "SELECT " + ", ".join(kind._fields),
        f"FROM spanwell.{TABLES[kind]} FINAL",
        f"WHERE {selection.where()}",
        "ORDER BY ts DESC LIMIT {limit:UInt32}",
    )
    return store.query(sql, {**selection.parameters(), "limit": limit})
