"""What of a request is kept: decodes it, takes out what cannot be stored, and makes the journal's record."""

import time
from collections import Counter
from typing import NamedTuple

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanwell_collector.access.stamp import stamp_project
from spanwell_collector.ingest.faults import complain, take_out_faulty
from spanwell_collector.receivers.otlp_json import parse_json
from spanwell_collector.receivers.refusals import INVALID_ARGUMENT, JSON, Encoding, RefusedError
from spanwell_collector.receivers.signals import Signal


class Accepted(NamedTuple):
    """A record for the journal, with what was counted on the way; `complaint` says why items were rejected."""

    record: bytes
    items: int
    rejected: int
    complaint: str


def read_request(signal: Signal, body: bytes, encoding: Encoding, project: str = "") -> Accepted:
    """All of it goes to `project`, if one is given. Raises RefusedError when `body` is no whole request of `signal`."""
    faults: Counter[str] = Counter()
    if encoding == JSON:
        message, too_deep = parse_json(body, signal.request)
        faults.update({"attributes": too_deep} if too_deep else {})
    else:
        message = _decode(signal.request, body)
    if isinstance(message, ExportTraceServiceRequest):
        faults.update(take_out_faulty(message, time.time_ns()))
    if project:
        stamp_project(message, project)
    if faults or project or encoding == JSON or len(UnknownFieldSet(message)):
        message.DiscardUnknownFields()  # one of them may have the number of our own, in whichever spelling
        body = message.SerializeToString()
    return Accepted(signal.kind + body, signal.count(message), faults.total(), complain(faults))


def make_answer(signal: Signal, accepted: Accepted) -> Message:
    """The response to what was accepted: empty unless something of it was rejected."""
    answer = signal.response()
    if accepted.rejected:
        partial = answer.partial_success
        setattr(partial, signal.rejected, accepted.rejected)
        partial.error_message = accepted.complaint
    return answer


def _decode(request: type[Message], body: bytes) -> Message:
    try:
        return request.FromString(body)
    except DecodeError as error:
        raise RefusedError(INVALID_ARGUMENT, f"not an {request.DESCRIPTOR.name}: {error}") from error
