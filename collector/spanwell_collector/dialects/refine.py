"""Spans of other dialects, and spans out of bounds, made ready for the engine: in place, on decoded messages."""

from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from spanwell import conventions as c
from spanwell.messages import Message
from spanwell_collector import telemetry
from spanwell_collector.dialects.bodies import read_bodies
from spanwell_collector.dialects.bounds import (
    LONGEST_KEY,
    LONGEST_VALUE,
    bound_attributes,
    bound_resource,
    bound_span,
    has_few_parts,
    is_in_bounds,
)
from spanwell_collector.dialects.content import take_content
from spanwell_collector.dialects.corrections import CORRECTIONS, ERROR, NAMED, SECOND, correct_name, correct_usage
from spanwell_collector.dialects.detect import NATIVE, PLAIN, detect_marks, detect_scope
from spanwell_collector.dialects.mapping import Mappings, look_up, say
from spanwell_collector.dialects.media import write_content
from spanwell_collector.dialects.messages import is_conversation, read_answer, read_request
from spanwell_collector.dialects.values import Attributes, read_attributes, take_out, write_attributes

PROXY_SCOPE: Final = "spanwell.proxy"  # its calls bring their cost, and nothing of them is left to find
NATIVE_SCOPES: Final = frozenset({"spanwell", PROXY_SCOPE})
CALLS: Final = frozenset({"chat", "text_completion", "embeddings"})
TOKENS: Final = (c.INPUT_TOKENS, c.CACHE_READ_TOKENS, c.CACHE_WRITE_TOKENS)
SET_BY_US: Final = (c.DIALECT, c.DUPLICATE_OF)
FIRST_CHUNKS: Final = frozenset({"First Token Stream Event", "ai.stream.firstChunk"})
CHUNKS: Final = ("llm.content.completion.chunk", "gen_ai.content.completion.chunk", "mlflow.chunk.item.")
"""One event a chunk: the first tells when the answer began, and all of them say again what the answer is."""


def needs_refining(resource_spans: ResourceSpans, longest_bytes: int) -> bool:
    """Whether anything in it is not the proxy's own, or may be out of bounds. No span is over `longest_bytes`."""
    if resource_spans.resource.ByteSize() > LONGEST_VALUE:
        return True
    is_sound = has_few_parts if longest_bytes <= LONGEST_VALUE else is_in_bounds
    for scope_spans in resource_spans.scope_spans:
        if scope_spans.scope.name != PROXY_SCOPE or not all(map(is_sound, scope_spans.spans)):
            return True
    return False


def refine(resource_spans: ResourceSpans, mapping: Mappings) -> None:
    """Bring every span into bounds, and those of other dialects to where the engine's mapping can take them over.

    Each of the latter says its dialect; its content is in one attribute for what went in and one for what came out;
    a span that is no call of a model, though it looks like one, is no longer told as one.
    """
    bound_resource(resource_spans.resource)
    for scope_spans in resource_spans.scope_spans:
        scope = scope_spans.scope
        if len(scope.name) > LONGEST_KEY:
            scope.name = scope.name[:LONGEST_KEY]
        dialect = NATIVE if scope.name in NATIVE_SCOPES else detect_scope(scope.name)
        for span in scope_spans.spans:
            if dialect != NATIVE or not is_in_bounds(span):
                refine_span(span, dialect, mapping)


def refine_span(span: Span, dialect: str, mapping: Mappings) -> None:
    """As `refine` says; `dialect` is the scope's, or '' where the span's own attributes have to tell."""
    before = read_attributes(span.attributes)
    after = dict(before)
    if dialect != NATIVE:
        for name in SET_BY_US:
            after.pop(name, None)
        dialect = dialect or detect_marks(after)
        after[c.DIALECT] = dialect
        if dialect != PLAIN:
            after = _translate_or_leave(span, after, dialect, mapping)
        _tell_error(span, after)
    write_attributes(span.attributes, before, bound_attributes(after))
    bound_span(span)


def _translate_or_leave(span: Span, attributes: Attributes, dialect: str, mapping: Mappings) -> Attributes:
    """JSON that nests deeper than Python's stack is nobody's message: such a span stays as it was sent."""
    translated = dict(attributes)
    try:
        _translate(span, translated, dialect, mapping)
    except RecursionError:
        telemetry.CUT.labels("depth").inc()
        return attributes
    return translated


def _translate(span: Span, attributes: Attributes, dialect: str, mapping: Mappings) -> None:
    if correct := CORRECTIONS.get(dialect):
        correct(span, attributes)
    operation = say(mapping[c.OPERATION], look_up(mapping[c.OPERATION], attributes) or "")
    if operation in NAMED and look_up(mapping[NAMED[operation]], attributes) is None:
        correct_name(attributes, dialect, operation, span.name)
    content = take_content(attributes, span.events)
    if operation in CALLS:
        read_bodies(attributes, mapping, content.request, content.response)
        correct_usage(attributes, {name: look_up(mapping[name], attributes) for name in TOKENS})
    _place_given(attributes, operation, content.given)
    if operation != "embeddings":  # vectors
        messages = _place_returned(attributes, operation, content.returned)
        reasons = [message["finish_reason"] for message in messages if "finish_reason" in message]
        if reasons and look_up(mapping[c.FINISH_REASONS], attributes) is None:
            attributes[c.FINISH_REASONS] = reasons
    if span.events:
        _tell_first_chunk(span, attributes, mapping)


def _place_given(attributes: Attributes, operation: str, given: Any) -> None:
    messages = read_request(given) if operation in CALLS or is_conversation(given) else None
    if messages:
        attributes[c.INPUT_MESSAGES] = write_content(messages)
    elif given is not None:
        attributes[c.INPUT] = write_content(given)


def _place_returned(attributes: Attributes, operation: str, returned: Any) -> list[Message]:
    messages = read_answer(returned) if operation in CALLS or is_conversation(returned) else None
    if messages:
        attributes[c.OUTPUT_MESSAGES] = write_content(messages)
    elif returned is not None:
        attributes[c.OUTPUT] = write_content(returned)
    return messages or []


def _tell_error(span: Span, attributes: Attributes) -> None:
    """A failed span's kind of error is its exception's, by the class alone: packages name the module or do not."""
    if span.status.code != ERROR or attributes.get(c.ERROR_TYPE):
        return
    for event in span.events:
        if event.name == "exception":
            kind = str(read_attributes(event.attributes).get("exception.type") or "")
            attributes[c.ERROR_TYPE] = kind.rpartition(".")[2]
            return


def _tell_first_chunk(span: Span, attributes: Attributes, mapping: Mappings) -> None:
    """When the answer began, told by an event; those that only repeat the answer go."""
    begun = next((event for event in span.events if event.name in FIRST_CHUNKS or event.name.startswith(CHUNKS)), None)
    if begun is None:
        return
    if look_up(mapping[c.STREAM], attributes) is None:
        attributes[c.STREAM] = True
    if (
        look_up(mapping[c.TIME_TO_FIRST_CHUNK_S], attributes) is None
        and begun.time_unix_nano > span.start_time_unix_nano
    ):
        attributes[c.TIME_TO_FIRST_CHUNK_S] = (begun.time_unix_nano - span.start_time_unix_nano) / SECOND
    take_out(span.events, lambda name: name.startswith(CHUNKS))
