"""What a request of traces says of itself: one row for each producer in it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from spanwell.conventions import (
    BATCH_DROPPED,
    BATCH_FIRST,
    BATCH_REJECTED,
    BATCH_SPANS,
    PROJECT,
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
)

MAX_UINT64: Final = 2**64 - 1
MAX_NAME: Final = 256  # characters of a name that a sender chose


class LedgerRow(NamedTuple):
    """A row of spanwell.ledger. A batch whose producer does not number its spans has `sent` 0."""

    received: datetime
    digest: int
    project: str
    service: str
    instance: str
    first: int
    sent: int
    stored: int
    rejected: int
    dropped: int
    last_ts: datetime

    @property
    def batch(self) -> tuple[str, str, str, int]:
        """What tells one producer's batch from the others in a request."""
        return self.project, self.service, self.instance, self.first


def list_rows(
    request: ExportTraceServiceRequest, digest: bytes, *, project: str, received: datetime
) -> list[LedgerRow]:
    """One a producer and batch; `project` is that of spans which name none."""
    rows: dict[tuple[str, str, str, int], LedgerRow] = {}
    for source in request.resource_spans:
        row = _make_row(source, int.from_bytes(digest, "little"), project, received)
        known = rows.get(row.batch)
        rows[row.batch] = row if known is None else _add(known, row)
    return list(rows.values())


def note_digest(digest: bytes, *, received: datetime) -> LedgerRow:
    """A row of nobody's project, there for its digest alone: by it log records that come again are known."""
    return LedgerRow(received, int.from_bytes(digest, "little"), "", "", "", 0, 0, 0, 0, 0, received)


def reject(rows: Iterable[LedgerRow], refused: Iterable[LedgerRow]) -> list[LedgerRow]:
    """`rows` after the spans counted in `refused` turned out not to be stored."""
    lost = {row.batch: row.stored for row in refused}
    return [
        row._replace(stored=row.stored - lost.get(row.batch, 0), rejected=row.rejected + lost.get(row.batch, 0))
        for row in rows
    ]


def _make_row(source: ResourceSpans, digest: int, project: str, received: datetime) -> LedgerRow:
    named = _index(source.resource.attributes)
    starts = [span.start_time_unix_nano for scope in source.scope_spans for span in scope.spans]
    return LedgerRow(
        received=received,
        digest=digest,
        project=_text(named, PROJECT) or project,
        service=_text(named, SERVICE_NAME),
        instance=_text(named, SERVICE_INSTANCE_ID),
        first=_number(named, BATCH_FIRST),
        sent=_number(named, BATCH_SPANS),
        stored=len(starts),
        rejected=_number(named, BATCH_REJECTED),
        dropped=_number(named, BATCH_DROPPED),
        last_ts=datetime.fromtimestamp(max(starts) / 1e9, UTC) if starts else received,
    )


def _add(one: LedgerRow, other: LedgerRow) -> LedgerRow:
    """Two resources of one batch; its numbers stand on both."""
    return one._replace(
        stored=one.stored + other.stored,
        rejected=one.rejected + other.rejected,
        last_ts=max(one.last_ts, other.last_ts),
    )


def _index(attributes: Iterable[KeyValue]) -> Mapping[str, AnyValue]:
    """The first of equal keys counts, as in the engine."""
    named: dict[str, AnyValue] = {}
    for pair in attributes:
        named.setdefault(pair.key, pair.value)
    return named


def _text(named: Mapping[str, AnyValue], name: str) -> str:
    return named[name].string_value[:MAX_NAME] if name in named else ""


def _number(named: Mapping[str, AnyValue], name: str) -> int:
    """A count, however the producer spelled it; what is none counts as 0."""
    value = named.get(name)
    if value is None:
        return 0
    number = value.int_value
    if value.string_value.isascii() and value.string_value.isdigit() and len(value.string_value) < 21:
        number = int(value.string_value)
    return number if 0 <= number <= MAX_UINT64 else 0
