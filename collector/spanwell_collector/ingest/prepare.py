"""Turns the records of a segment into what the store takes: OTLP for the engine to parse, and rows."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from spanwell.errors import QueryError
from spanwell_collector.ingest.events import Events, read_events
from spanwell_collector.ingest.measurements import Measurements, read_metrics
from spanwell_collector.ingest.records import LOGS, METRICS, NAMES, TRACES, kind_of, read_record
from spanwell_collector.ingest.spans import Refiner, Spans, prepare_spans

# What code raises over data that it did not expect: the data is at fault, and must not end the process.
OVER_DATA: Final = (ArithmeticError, AttributeError, DecodeError, LookupError, RecursionError, TypeError, ValueError)


class Prepared(NamedTuple):
    """What a segment holds, by where it goes."""

    spans: Spans
    events: Events
    measurements: Measurements


def prepare(records: Sequence[bytes], refiner: Refiner, *, project: str) -> Prepared:
    """`project` is that of who names none. Raises QueryError when a record cannot be read."""
    by_kind: dict[bytes, list[bytes]] = {kind: [] for kind in NAMES}
    for record in records:
        kind = kind_of(record)
        if kind not in NAMES:
            raise QueryError(f"a record of kind {kind!r} is none that this version knows")
        by_kind[kind].append(record)
    try:
        return Prepared(
            prepare_spans(by_kind[TRACES], refiner, project=project, received=datetime.now(UTC)),
            prepare_events(by_kind[LOGS], project=project),
            _prepare_measurements(by_kind[METRICS], project),
        )
    except OVER_DATA as error:
        raise QueryError(f"a record cannot be read: {error!r}") from error


def prepare_events(records: Sequence[bytes], *, project: str) -> Events:
    """`records` are of logs."""
    requests = [ExportLogsServiceRequest.FromString(read_record(record).payload) for record in records]
    return read_events(requests, project=project, now_ns=time.time_ns())


def _prepare_measurements(records: Sequence[bytes], project: str) -> Measurements:
    requests = [ExportMetricsServiceRequest.FromString(read_record(record).payload) for record in records]
    return read_metrics(requests, project=project, now_ns=time.time_ns())
