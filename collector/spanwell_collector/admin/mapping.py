"""`spanwell mapping`: how attributes of other dialects become ours, and what becomes of a payload."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanwell import conventions as c
from spanwell.cli.console import write
from spanwell.errors import ConfigError
from spanwell.messages import to_messages
from spanwell.settings import Settings
from spanwell_collector import telemetry
from spanwell_collector.dialects.compile import render_mapping
from spanwell_collector.dialects.detect import PLAIN
from spanwell_collector.dialects.explain import Fact, explain, list_unmapped
from spanwell_collector.dialects.jsontext import to_text, undo_json
from spanwell_collector.dialects.mapping import Mappings, load_mapping
from spanwell_collector.dialects.refine import CALLS, refine
from spanwell_collector.dialects.values import Attributes, read_attributes
from spanwell_collector.ingest.faults import complain, take_out_faulty
from spanwell_collector.receivers.otlp_json import parse_json
from spanwell_collector.receivers.refusals import RefusedError
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate
from spanwell_collector.store.pipeline.install import install_pipeline, render_pipeline

ABOUT: Final = """\
Spans of OpenInference, OpenLLMetry, Langfuse, Logfire, MLflow, the Vercel AI SDK, vLLM and others are stored under
OpenTelemetry's names. `list` shows where each of these comes from; `test` stores a payload for the trial and shows
what came of every span."""
COLUMNS: Final = {
    c.OPERATION: "operation",
    c.PROVIDER: "provider",
    c.REQUEST_MODEL: "request_model",
    c.RESPONSE_MODEL: "model",
    c.RESPONSE_ID: "response_id",
    c.FINISH_REASONS: "finish_reason",
    c.TIME_TO_FIRST_CHUNK_S: "ttft_ms",
    c.STREAM: "stream",
    c.INPUT_TOKENS: "input_tokens",
    c.OUTPUT_TOKENS: "output_tokens",
    c.CACHE_READ_TOKENS: "cached_tokens",
    c.CACHE_WRITE_TOKENS: "cache_write_tokens",
    c.REASONING_TOKENS: "reasoning_tokens",
    c.AUDIO_INPUT_TOKENS: "usage",
    c.AUDIO_OUTPUT_TOKENS: "usage",
    c.REPORTED_COST_USD: "reported_cost_usd",
    c.SERVICE_TIER: "service_tier",
    c.USER_ID: "user_id",
    c.SESSION_ID: "session_id",
    c.TAGS: "tags",
    c.RELEASE: "release",
    c.ENVIRONMENT: "environment",
    c.AGENT_NAME: "agent",
    c.TOOL_NAME: "tool",
    c.PROMPT_NAME: "prompt_name",
    c.PROMPT_VERSION: "prompt_version",
    c.HTTP_STATUS: "http_status",
}
"""The column an attribute of ours fills; the others stay among `attributes`."""
TEXTS: Final = ((c.INPUT_MESSAGES, c.INPUT, "input"), (c.OUTPUT_MESSAGES, c.OUTPUT, "output"))
ROWS: Final = """
SELECT spans.*, texts.input AS input, texts.output AS output
FROM spanwell.spans LEFT JOIN spanwell.texts USING (project, trace_id, span_id)
"""
LATEST_NS: Final = (1 << 64) - 1  # that the protocol can say
WIDTH: Final = 100  # characters shown of a value


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    mapping = commands.add_parser(
        "mapping",
        help="show how attributes of other dialects are read, and try it on a payload",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = mapping.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="every attribute of ours with its sources").set_defaults(run=_list)
    test = actions.add_parser("test", help="store the traces in a file for the trial, and show what came of them")
    test.add_argument("file", type=Path, metavar="FILE", help="an OTLP request, protobuf or JSON, as it was sent")
    test.set_defaults(run=_test)


def _list(_options: argparse.Namespace, _settings: Settings) -> int:
    for target in load_mapping().values():
        write(target.name)
        for source in target.sources:
            notes = [f"in {source.unit}"] if source.unit else []
            notes += [f"{source.only} alone"] if source.only else []
            write(f"    {source}{f'  ({chr(44).join(notes)})' if notes else ''}")
    return 0


def _test(options: argparse.Namespace, _settings: Settings) -> int:
    mapping = load_mapping()
    sent, complaint = _read(options.file)
    refined = ExportTraceServiceRequest()
    refined.CopyFrom(sent)
    for source in refined.resource_spans:
        refine(source, mapping)
    rows = _store(refined, mapping)
    count = recognised = 0
    for (scope, before), (_, after) in zip(_spans(sent), _spans(refined), strict=True):
        row = rows[after.trace_id.hex() + after.span_id.hex()]
        count += 1
        recognised += row["dialect"] != PLAIN
        for line in _describe(
            scope, read_attributes(before.attributes), read_attributes(after.attributes), row, mapping
        ):
            write(_printable(line))
    for cut in (sample for metric in telemetry.CUT.collect() for sample in metric.samples):
        if cut.name.endswith("_total"):
            write(f"out of bounds and cut: {cut.labels['kind']}, {cut.value:.0f} times")
    if complaint:
        write(f"not accepted: {complaint}")
    write(f"{recognised} of {count} spans are in a dialect that is known")
    return 0 if recognised else 1


def move_to_now(request: ExportTraceServiceRequest, now_ns: int) -> None:
    """Begin the latest span at `now_ns` and keep all distances: what is too old is neither accepted nor kept."""
    spans = [span for _, span in _spans(request)]
    moved = now_ns - max((span.start_time_unix_nano for span in spans), default=0)
    for span in spans:
        span.start_time_unix_nano = _move(span.start_time_unix_nano, moved)
        span.end_time_unix_nano = _move(span.end_time_unix_nano, moved)
        for event in span.events:
            event.time_unix_nano = _move(event.time_unix_nano, moved)


def _move(time_ns: int, by_ns: int) -> int:
    return min(max(0, time_ns + by_ns), LATEST_NS)


def _read(path: Path) -> tuple[ExportTraceServiceRequest, str]:
    """What the collector accepts of it, and why not the rest. Raises ConfigError when it is no request of traces."""
    try:
        body = path.read_bytes()
        if body.lstrip().startswith(b"{"):
            request = parse_json(body, ExportTraceServiceRequest).message
        else:
            request = ExportTraceServiceRequest.FromString(body)
    except (OSError, RefusedError, DecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    now_ns = time.time_ns()
    move_to_now(request, now_ns)
    return request, complain(take_out_faulty(request, now_ns))


def _spans(request: ExportTraceServiceRequest) -> Iterator[tuple[str, Span]]:
    for source in request.resource_spans:
        for scope_spans in source.scope_spans:
            for span in scope_spans.spans:
                yield scope_spans.scope.name, span


def _store(request: ExportTraceServiceRequest, mapping: Mappings) -> dict[str, dict[str, Any]]:
    """The rows that the engine makes of it, by trace and span."""
    with TemporaryDirectory() as folder:
        store = Store(path=Path(folder) / "chdb")
        try:
            migrate(store, load_migrations())
            install_pipeline(store, render_pipeline(render_mapping(mapping)))
            store.insert_otlp([request.SerializeToString()], project="trial", token="trial", dialects=True)  # noqa: S106
            rows = store.query(ROWS).to_pylist()
        finally:
            store.close()
    return {row["trace_id"] + row["span_id"]: row for row in rows}


def _describe(
    scope: str, sent: Attributes, refined: Attributes, row: dict[str, Any], mapping: Mappings
) -> Iterator[str]:
    request = "a call" if row["operation"] in CALLS and not row["duplicate_of"] else "no call"
    failed = f", failed: {row['error_type'] or 'of no known type'}" if row["status"] == "error" else ""
    yield f"{row['name']}  ({scope or 'no scope'})"
    yield f"    dialect {row['dialect']}, operation {row['operation'] or 'none'}: {request}{failed}"
    for name, fact in explain(mapping, refined).items():
        value = row[COLUMNS[name]] if name in COLUMNS else dict(row["attributes"]).get(name, "")
        yield f"    {COLUMNS.get(name, name):<27} {_short(value):<36} {_origin(name, fact, sent)}"
    for messages, plain, text in TEXTS:
        yield from _describe_text(text, row[text] or "", messages in refined, plain in refined, row["operation"])
    for name in list_unmapped(mapping, refined):
        yield f"    {'not mapped':<27} {name} = {_short(to_text(refined[name]))}"
    yield ""


def _origin(name: str, fact: Fact, sent: Attributes) -> str:
    if fact.source != name:
        return f"from {fact.source}"
    if name in sent and to_text(sent[name]).lower() == to_text(fact.value).lower():
        return "as sent"
    return "put right" if name in sent else "worked out"


def _describe_text(name: str, text: str, is_messages: bool, is_plain: bool, operation: str) -> Iterator[str]:
    if is_messages and (messages := to_messages(undo_json(text))):
        for message in messages:
            for part in message["parts"]:
                said = part.get("content", part.get("name", part.get("response", "")))
                yield f"    {name:<27} {message['role']}: {part['type']}: {_short(said)}"
    elif is_messages or is_plain:
        note = "  (not read as messages)" if operation in CALLS else ""
        yield f"    {name:<27} {_short(text)}{note}"


def _short(value: Any) -> str:
    text = to_text(value) if not isinstance(value, int | float) else str(value)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}…"


def _printable(text: str) -> str:
    """A payload may hold what steers a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
