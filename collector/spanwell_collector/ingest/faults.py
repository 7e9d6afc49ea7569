"""Which spans cannot be stored, and takes them out of their request."""

from collections import Counter
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from spanwell.conventions import BATCH_REJECTED

NO_TRACE, NO_SPAN = bytes(16), bytes(8)
DAY_NS: Final = 86_400_000_000_000
OLDEST_NS: Final = 366 * DAY_NS  # a year of history may be brought in; what is older has a wrong clock
NEWEST_NS: Final = DAY_NS
FAULTS: Final = {
    "trace_id": "trace_id is not 16 bytes, or all zero",
    "span_id": "span_id is not 8 bytes, or all zero",
    "start_time_unix_nano": "start_time_unix_nano lies more than 366 days back or a day ahead",
    "attributes": "attributes nest too deep",
}


def find_fault(span: Span, oldest_ns: int, newest_ns: int) -> str:
    """The field that makes a span impossible to store; empty for a sound one."""
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or trace_id == NO_TRACE:
        return "trace_id"
    if len(span_id) != 8 or span_id == NO_SPAN:
        return "span_id"
    return "" if oldest_ns < span.start_time_unix_nano < newest_ns else "start_time_unix_nano"


def take_out_faulty(message: ExportTraceServiceRequest, now_ns: int) -> Counter[str]:
    """Count what is taken out, by its fault; each resource says in an attribute how many of its spans that were."""
    faults: Counter[str] = Counter()
    oldest_ns, newest_ns = now_ns - OLDEST_NS, now_ns + NEWEST_NS
    for source in message.resource_spans:
        rejected = 0
        for scope in source.scope_spans:
            found = [fault for span in scope.spans if (fault := find_fault(span, oldest_ns, newest_ns))]
            if found:
                faults.update(found)
                rejected += len(found)
                _keep_sound(scope, oldest_ns, newest_ns)
        if rejected:
            source.resource.attributes.add(key=BATCH_REJECTED).value.int_value = rejected
    return faults


def complain(faults: Counter[str]) -> str:
    """What a sender is told about the spans that were left out."""
    return "; ".join(f"{FAULTS[fault]} ({count} left out)" for fault, count in sorted(faults.items()))


def _keep_sound(scope: ScopeSpans, oldest_ns: int, newest_ns: int) -> None:
    for index in range(len(scope.spans) - 1, -1, -1):
        if find_fault(scope.spans[index], oldest_ns, newest_ns):
            del scope.spans[index]
