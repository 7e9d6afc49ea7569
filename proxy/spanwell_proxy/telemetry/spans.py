"""Makes OTLP spans of finished calls. Runs behind the request path; texts are masked and shortened here."""

import logging
from collections.abc import Mapping
from typing import Any

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from spanwell import conventions as c
from spanwell.masking import mask_secrets
from spanwell.pricing import write_usd
from spanwell_proxy.apis.api import Document, Messages
from spanwell_proxy.call import Call

logger = logging.getLogger(__name__)

LONGEST_TEXT = 64 * 1024  # of one string inside a message: images travel as text
LONGEST_TEXTS = 4 * 1024 * 1024  # of all messages together, about: what is encoded holds up the calls
SHORTEST_TEXT = 64
SCOPE = "spanwell.proxy"
Value = str | int | float | bool | list[str] | None


class Batch:
    """One export request. Spans are made in their place: copying them there would cost a fifth again."""

    def __init__(self) -> None:
        self._request = ExportTraceServiceRequest()
        self._resource = self._request.resource_spans.add()
        scope = self._resource.scope_spans.add()
        scope.scope.name = SCOPE
        self._spans = scope.spans

    def __len__(self) -> int:
        return len(self._spans)

    def add(self, call: Call, *, with_texts: bool) -> bool:
        """The one span of a call; false if what a backend sent cannot be told in one."""
        before = len(self._spans)
        try:
            self._add(call, with_texts)
        except (TypeError, ValueError):
            del self._spans[before:]
            logger.exception("a call could not be made a span")
            return False
        return True

    def encode(self, resource: Mapping[str, Value]) -> bytes:
        """Serialised, with the attributes of the one that sends it."""
        _set_attributes(self._resource.resource.attributes, resource)
        encoded: bytes = self._request.SerializeToString()
        return encoded

    def _add(self, call: Call, with_texts: bool) -> None:
        span = self._spans.add(
            trace_id=call.trace_id,
            span_id=call.span_id,
            parent_span_id=call.parent_id,
            name=f"{call.api.operation} {call.model}".strip(),
            kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=call.started_ns,
            end_time_unix_nano=call.started_ns + int((call.ended - call.started) * 1e9),
        )
        span.status.code = Status.STATUS_CODE_ERROR if is_error(call) else Status.STATUS_CODE_OK
        _set_attributes(span.attributes, _facts(call))
        if call.failure:
            span.status.message = mask_secrets(call.failure.message)
        if with_texts:
            _set_attributes(span.attributes, _texts(call))


def is_error(call: Call) -> bool:
    """A user who stops a stream that was running well is no error; one who leaves before it began waited in vain."""
    return call.failure is not None and not (call.gone and call.replied)


def _facts(call: Call) -> dict[str, Value]:
    usage, deployment, caller, failure = call.usage, call.deployment, call.caller, call.failure
    request, reader = call.request, call.reader
    facts: dict[str, Value] = {
        c.OPERATION: call.api.operation,
        c.REQUEST_MODEL: call.model,
        c.STREAM: call.stream,
        c.HTTP_STATUS: call.status or (failure.status if failure else 500),
        c.REQUEST_ID: call.request_id,
        c.ATTEMPTS: len(call.attempts),
        c.OVERHEAD_MS: round(call.overhead_s * 1000, 3),
        c.APP: call.app,
        c.USER_ID: call.user,
        c.SESSION_ID: call.session,
        c.PURPOSE: call.purpose,
        c.STREAM_END: call.stream_end,
        c.CACHE: call.cache,
        c.CACHE_TYPE: call.cache_type,
        c.CACHE_MATCHED: call.cache_matched,
        c.CACHE_SIMILARITY: call.cache_similarity,
        c.SAVED_MS: call.saved_ms,
        c.TEMPERATURE: _number(request.get("temperature")),
        c.MAX_TOKENS: call.api.max_tokens(request) or None,  # nought, where an API gives no text
        c.TIME_TO_FIRST_CHUNK_S: call.ttft_s,
    }
    if is_error(call) and failure:
        facts[c.ERROR_TYPE] = failure.kind
    if caller:
        facts[c.KEY_ID], facts[c.TEAM] = caller.key_id, caller.team
    if deployment:
        facts[c.PROVIDER], facts[c.DEPLOYMENT] = deployment.provider, deployment.id
        facts[c.SERVER_ADDRESS], facts[c.SERVER_PORT] = deployment.url.host, deployment.url.port
        facts[c.SIMULATED] = deployment.simulated or None
        facts[c.FALLBACK_FROM] = call.model if deployment.model_name != call.model else ""
    if usage:
        facts[c.INPUT_TOKENS], facts[c.OUTPUT_TOKENS] = usage.input, usage.output
        facts[c.CACHE_READ_TOKENS], facts[c.CACHE_WRITE_TOKENS] = usage.cached, usage.cache_write
        facts[c.REASONING_TOKENS] = usage.reasoning
        facts[c.CACHE_WRITE_1H_TOKENS] = usage.cache_write_1h or None
        facts[c.AUDIO_INPUT_TOKENS], facts[c.AUDIO_OUTPUT_TOKENS] = (
            usage.audio_input or None,
            usage.audio_output or None,
        )
        facts[c.IMAGE_INPUT_TOKENS], facts[c.IMAGE_OUTPUT_TOKENS] = (
            usage.image_input or None,
            usage.image_output or None,
        )
        facts[c.SERVICE_TIER] = call.service_tier
        facts[c.PRICE_VERSION] = call.price.version if call.price else ""
        facts[c.USAGE_ESTIMATED] = call.usage_estimated or None
    if call.cost_usd is not None:
        facts[c.COST_USD] = write_usd(call.cost_usd)
    if call.saved_usd is not None:
        facts[c.SAVED_USD] = write_usd(call.saved_usd)
    if reader:
        facts[c.RESPONSE_ID], facts[c.RESPONSE_MODEL] = reader.id, reader.model
    elif call.document:
        facts[c.RESPONSE_ID], facts[c.RESPONSE_MODEL] = _text(call.document, "id"), _text(call.document, "model")
    if answer := _answer(call):
        facts[c.FINISH_REASONS] = call.api.reasons(answer)
    return facts


def _texts(call: Call) -> dict[str, Value]:
    """What was said, as messages of parts in JSON."""
    texts: dict[str, Value] = {}
    if asked := call.api.asked(call.request):
        texts[c.INPUT_MESSAGES] = _to_text(asked, len(call.body))
    if (answer := _answer(call)) and (answered := call.api.answered(answer)):
        texts[c.OUTPUT_MESSAGES] = _to_text(answered, call.size_bytes - len(call.body))
    return texts


def _answer(call: Call) -> Document | None:
    """What was answered, however it came."""
    return call.reader.document() if call.reader else call.document


def _to_text(messages: Messages, size_bytes: int) -> str:
    if size_bytes > LONGEST_TEXTS:
        messages = _shorten(messages, min(LONGEST_TEXT, max(SHORTEST_TEXT, LONGEST_TEXTS // len(messages))))
    elif size_bytes > LONGEST_TEXT:
        messages = _shorten(messages, LONGEST_TEXT)
    try:
        return mask_secrets(orjson.dumps(messages).decode())
    except (TypeError, RecursionError):  # nested deeper than JSON is written
        return ""


def _shorten(value: Any, most: int) -> Any:
    if isinstance(value, str) and len(value) > most:
        return f"{value[:most]}… [{len(value) - most} more characters]"
    if isinstance(value, list):
        return [_shorten(item, most) for item in value]
    if isinstance(value, dict):
        return {key: _shorten(item, most) for key, item in value.items()}
    return value


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _set_attributes(attributes: Any, facts: Mapping[str, Value]) -> None:
    for key, value in facts.items():
        # What is not known is left out; a nought and a false are known.
        if value is None or value == "" or value == []:
            continue
        field = attributes.add(key=key).value
        if isinstance(value, str):
            field.string_value = value
        elif isinstance(value, bool):
            field.bool_value = value
        elif isinstance(value, int):
            field.int_value = value
        elif isinstance(value, float):
            field.double_value = value
        else:
            for item in value:
                field.array_value.values.add(string_value=item)
