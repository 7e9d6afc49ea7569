"""What log events of gen_ai.* bring: scores, and texts of the span they stand in. Other log records are not kept."""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from spanwell.conventions import INPUT_MESSAGES, OUTPUT_MESSAGES, PROJECT, RESPONSE_ID
from spanwell.messages import Message
from spanwell_collector.dialects.bounds import bound_attributes
from spanwell_collector.dialects.media import write_content
from spanwell_collector.dialects.messages import DETAILS_EVENT, EventMessages, is_content_event, read_event_messages
from spanwell_collector.dialects.values import Attributes, read_attributes, read_value
from spanwell_collector.ingest.faults import NEWEST_NS, NO_SPAN, NO_TRACE, OLDEST_NS
from spanwell_collector.ingest.records import LOGS

EVALUATION: Final = "gen_ai.evaluation.result"
EVENT_NAME: Final = "event.name"  # where it stood before log records had a field for it
SOURCE: Final = "spanwell.source"
SOURCES: Final = frozenset({"user", "judge", "code", "human"})
WORDS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("pass", "passed", "true", "yes", "correct", "good"), 1.0),
    **dict.fromkeys(("fail", "failed", "false", "no", "incorrect", "bad"), 0.0),
}
LONGEST_NAME: Final = 200  # characters; the API's bounds for a score
LONGEST_COMMENT: Final = 20_000


class TextRow(NamedTuple):
    """A row of spanwell.texts."""

    project: str
    ts: datetime
    trace_id: str
    span_id: str
    source: str
    input: str
    output: str


class ScoreRow(NamedTuple):
    """A row of spanwell.scores; `version` is the time of the event, so that a replay does not replace a later one."""

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
    sample_share: float
    version: int


class LooseScore(NamedTuple):
    """A score that names its call by the id of the response; `record` holds its event alone."""

    response_id: str
    row: ScoreRow
    record: bytes

    @property
    def key(self) -> tuple[str, str]:
        return self.row.project, self.response_id

    def at(self, trace_id: str, span_id: str) -> ScoreRow:
        return self.row._replace(trace_id=trace_id, span_id=span_id)


class Events(NamedTuple):
    """What a segment's log records make; `left_out` are those that make nothing."""

    texts: list[TextRow]
    scores: list[ScoreRow]
    loose: list[LooseScore]
    left_out: int


class _Event(NamedTuple):
    """A log record with what stands around it."""

    record: LogRecord
    name: str
    attributes: Attributes
    project: str
    time_ns: int
    author: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.project, self.record.trace_id.hex(), self.record.span_id.hex()

    @property
    def is_in_a_span(self) -> bool:
        trace_id, span_id = self.record.trace_id, self.record.span_id
        return len(trace_id) == 16 and trace_id != NO_TRACE and len(span_id) == 8 and span_id != NO_SPAN


def read_events(requests: Iterable[ExportLogsServiceRequest], *, project: str, now_ns: int) -> Events:
    """The messages of one span are put together in the order of their events. `project` is that of who names none."""
    made = Events([], [], [], 0)
    told: dict[tuple[str, str, str], list[_Event]] = {}
    left_out = 0
    for source, scope, record in _each(requests):
        event = _read(source, scope, record, project, now_ns)
        if event.name == EVALUATION:
            left_out += not _add_score(made, event, source, scope)
        elif event.is_in_a_span and is_content_event(event.name):
            told.setdefault(event.key, []).append(event)
        else:
            left_out += 1
    made.texts.extend(row for events in told.values() if (row := _make_text(events)))
    return made._replace(left_out=left_out)


def _each(requests: Iterable[ExportLogsServiceRequest]) -> Iterator[tuple[ResourceLogs, ScopeLogs, LogRecord]]:
    for request in requests:
        for source in request.resource_logs:
            for scope in source.scope_logs:
                for record in scope.log_records:
                    yield source, scope, record


def _read(source: ResourceLogs, scope: ScopeLogs, record: LogRecord, project: str, now_ns: int) -> _Event:
    attributes = read_attributes(record.attributes)
    around = read_attributes(source.resource.attributes)
    time_ns = record.time_unix_nano or record.observed_time_unix_nano
    return _Event(
        record=record,
        name=record.event_name or str(attributes.get(EVENT_NAME) or ""),
        attributes=attributes,
        project=str(attributes.get(PROJECT) or around.get(PROJECT) or project),
        time_ns=time_ns if now_ns - OLDEST_NS < time_ns < now_ns + NEWEST_NS else now_ns,
        author=scope.scope.name[:LONGEST_NAME],
    )


def _make_text(events: list[_Event]) -> TextRow | None:
    """One event with all of a call's messages counts before those that hold one each."""
    events = sorted(events, key=lambda event: event.time_ns)
    whole = [event for event in events if event.name == DETAILS_EVENT]
    told = [_read_messages(event) for event in (whole[-1:] or events)]
    asked = [message for messages in told for message in messages.asked]
    answered = [message for messages in told for message in messages.answered]
    if not asked and not answered:
        return None
    project, trace_id, span_id = events[0].key
    return TextRow(
        project=project,
        ts=datetime.fromtimestamp(events[0].time_ns / 1e9, UTC),
        trace_id=trace_id,
        span_id=span_id,
        source="event",
        input=_write(INPUT_MESSAGES, asked),
        output=_write(OUTPUT_MESSAGES, answered),
    )


def _read_messages(event: _Event) -> EventMessages:
    return read_event_messages(event.name, read_value(event.record.body), event.attributes)


def _write(name: str, messages: list[Message]) -> str:
    """As JSON text within the bounds of a span's own messages."""
    return str(bound_attributes({name: write_content(messages)})[name]) if messages else ""


def _add_score(made: Events, event: _Event, source: ResourceLogs, scope: ScopeLogs) -> bool:
    row = _make_score(event)
    response_id = str(event.attributes.get(RESPONSE_ID) or "")
    if row is None or not (row.trace_id or response_id):
        return False
    if row.trace_id:
        made.scores.append(row)
    else:
        made.loose.append(LooseScore(response_id, row, _alone(source, scope, event.record)))
    return True


def _make_score(event: _Event) -> ScoreRow | None:
    """None when it has no name, or no number and no word that stands for one."""
    said = event.attributes
    name, label = _text(said, "gen_ai.evaluation.name"), _text(said, "gen_ai.evaluation.score.label")
    value = _number(said.get("gen_ai.evaluation.score.value"), WORDS.get(label.strip().lower(), math.nan))
    if not name or not math.isfinite(value):
        return None
    source = said.get(SOURCE)
    trace_id = event.record.trace_id
    is_traced = len(trace_id) == 16 and trace_id != NO_TRACE
    return ScoreRow(
        project=event.project,
        ts=datetime.fromtimestamp(event.time_ns / 1e9, UTC),
        trace_id=trace_id.hex() if is_traced else "",
        span_id=event.record.span_id.hex() if event.is_in_a_span else "",
        name=name,
        source=source if source in SOURCES else "code",
        author=event.author,
        value=value,
        label=label,
        comment=str(said.get("gen_ai.evaluation.explanation") or "")[:LONGEST_COMMENT],
        sample_share=1.0,
        version=event.time_ns,
    )


def _text(said: Attributes, name: str) -> str:
    value = said.get(name)
    return value[:LONGEST_NAME] if isinstance(value, str) else ""


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise


def _alone(source: ResourceLogs, scope: ScopeLogs, record: LogRecord) -> bytes:
    request = ExportLogsServiceRequest()
    around = request.resource_logs.add()
    around.resource.CopyFrom(source.resource)
    within = around.scope_logs.add()
    within.scope.CopyFrom(scope.scope)
    within.log_records.append(record)
    return LOGS + bytes(request.SerializeToString())
