"""Records of traces: made ready for the engine to parse, counted for the ledger, and taken apart span by span."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from spanwell.conventions import PROJECT
from spanwell_collector.dialects.jsontext import to_text
from spanwell_collector.dialects.values import read_value
from spanwell_collector.ingest.faults import take_out_faulty
from spanwell_collector.ingest.ledger import LedgerRow, list_rows, note_digest
from spanwell_collector.ingest.records import LOGS, OLDEST_TAG, TRACES, kind_of, read_record
from spanwell_collector.ingest.sizes import find_longest_span
from spanwell_collector.store.client import digest_batch


class Refiner(NamedTuple):
    """What Python does to spans that speak a dialect or are out of bounds, in place, before the engine gets them.

    `is_needed` is told how many bytes no span of the request exceeds.
    """

    is_needed: Callable[[ResourceSpans, int], bool]
    refine: Callable[[ResourceSpans], None]


class Spans(NamedTuple):
    """`native` are requests as their senders wrote them, `refined` those whose attributes are still to be mapped."""

    native: list[bytes]
    refined: list[bytes]
    ledger: list[LedgerRow]


NO_REFINER: Final = Refiner(lambda _source, _longest: False, lambda _source: None)


def prepare_spans(records: Sequence[bytes], refiner: Refiner, *, project: str, received: datetime) -> Spans:
    """`records` are of traces. The same records give the same bytes: a retried insert is known by them."""
    made = Spans([], [], [])
    for record in records:
        request, payload = _decode(record)
        made.ledger.extend(list_rows(request, digest_batch(record), project=project, received=received))
        longest_bytes = find_longest_span(payload)
        needing = [refiner.is_needed(source, longest_bytes) for source in request.resource_spans]
        if not any(needing):
            made.native.append(payload)
            continue
        if not all(needing):
            made.native.append(_take_out(request, [not needed for needed in needing]))
        for source in request.resource_spans:
            refiner.refine(source)
        made.refined.append(request.SerializeToString())
    return made


def count_spans(record: bytes, *, project: str, received: datetime) -> list[LedgerRow]:
    """The ledger's rows of one record: of logs its digest alone, of metrics none."""
    kind = kind_of(record)
    if kind == LOGS:
        return [note_digest(digest_batch(record), received=received)]
    if kind != TRACES:
        return []
    return list_rows(_decode_sound(record), digest_batch(record), project=project, received=received)


def list_keys(records: Sequence[bytes], *, project: str) -> Iterator[str]:
    """Trace and span id, in hex, and project of every span in `records`; `project` is that of who names none.

    Ids are the sender's to choose: another project may have a span of the same ones.
    """
    for record in records:
        for source in _decode_sound(record).resource_spans:
            around = list(_named_projects(source.resource.attributes)) or [project]
            for scope in source.scope_spans:
                for span in scope.spans:
                    for name in list(_named_projects(span.attributes)) or around:
                        yield f"{span.trace_id.hex()}{span.span_id.hex()}{name}"


def split_record(record: bytes) -> Iterator[bytes]:
    """A record of traces as one for each span; other records are not taken apart.

    Fields that are unknown here go: the engine stumbles over some that protobuf passes over.
    """
    request = _decode_sound(record)
    request.DiscardUnknownFields()
    for source in request.resource_spans:
        for scope in source.scope_spans:
            for span in scope.spans:
                piece = ExportTraceServiceRequest()
                alone = piece.resource_spans.add()
                alone.resource.CopyFrom(source.resource)
                around = alone.scope_spans.add()
                around.scope.CopyFrom(scope.scope)
                around.spans.append(span)
                yield TRACES + piece.SerializeToString()


def _decode(record: bytes) -> tuple[ExportTraceServiceRequest, bytes]:
    payload = read_record(record).payload
    request = ExportTraceServiceRequest.FromString(payload)
    if record.startswith(OLDEST_TAG) and take_out_faulty(request, time.time_ns()):
        payload = request.SerializeToString()  # an older version wrote it, and left the check to the engine
    return request, payload


def _decode_sound(record: bytes) -> ExportTraceServiceRequest:
    """An empty request where `record` is none of traces, or is damaged."""
    try:
        return _decode(record)[0] if kind_of(record) == TRACES else ExportTraceServiceRequest()
    except DecodeError:
        return ExportTraceServiceRequest()


def _named_projects(attributes: Iterable[KeyValue]) -> Iterator[str]:
    """More than one where a sender names it twice, which it must not: which of them counts is not asked here."""
    for pair in attributes:
        if pair.key == PROJECT and (named := read_value(pair.value)):
            yield to_text(named)


def _take_out(request: ExportTraceServiceRequest, chosen: Sequence[bool]) -> bytes:
    """The chosen resources, which then are no longer in `request`."""
    taken = ExportTraceServiceRequest()
    for index in range(len(chosen) - 1, -1, -1):
        if chosen[index]:
            taken.resource_spans.append(request.resource_spans[index])
            del request.resource_spans[index]
    return bytes(taken.SerializeToString())
