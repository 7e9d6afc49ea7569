"""Makes OTLP spans of finished calls: one of the call, and beneath it one of each attempt. Behind the request path."""

import logging
from collections.abc import Mapping
from typing import Final

import orjson

from spanwell import conventions as c
from spanwell.masking import mask_secrets
from spanwell.pricing import write_usd
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.failures import ApiError
from spanwell_proxy.guarded import Guarded
from spanwell_proxy.routing.facts import Facts as Backend
from spanwell_proxy.telemetry.otlp import ERROR, OK, Value, write_request, write_span
from spanwell_proxy.telemetry.repeated import find_answered, find_asked, find_tried, find_used
from spanwell_proxy.telemetry.texts import KeepText, tell_texts

logger = logging.getLogger(__name__)

SCOPE: Final = "spanwell.proxy"

Facts = dict[str, Value]


class Batch:
    """One export request on its way."""

    def __init__(self) -> None:
        self._spans: list[bytes] = []

    def __len__(self) -> int:
        return len(self._spans)

    def add(self, call: Call, *, keep_text: KeepText | None) -> bool:
        """The spans of a call; false if what a backend sent cannot be told in one."""
        try:
            self._spans += make_spans(call, keep_text=keep_text)
        except (TypeError, ValueError):
            logger.exception("a call could not be made a span")
            return False
        return True

    def encode(self, resource: Mapping[str, Value]) -> bytes:
        """Serialised, with the attributes of the one that sends it."""
        return write_request(resource, SCOPE, self._spans)


def count_spans(call: Call) -> int:
    """How many spans tell of it."""
    return 1 + len(call.attempts)


def make_spans(call: Call, *, keep_text: KeepText | None) -> list[bytes]:
    """The call's own, which alone has tokens, cost and texts, and its attempts'. Raises TypeError or ValueError."""
    answer = call.reader.document() if call.reader else call.document
    failure = call.failure if call.failure and is_error(call) else None
    facts = _facts(call)
    if keep_text:
        facts.update(tell_texts(call, answer, keep_text))
    whole = write_span(
        (call.trace_id, call.span_id, call.parent_id),
        (call.started_ns, _time_ns(call, call.ended)),
        (find_asked(call), find_answered(call, answer, failure.kind if failure else None), find_used(call.usage)),
        facts,
        _state(failure),
    )
    spans = [whole]
    for number, tried in enumerate(call.attempts, 1):
        spans.append(_make_attempt(call, tried, number))
    return spans


def is_error(call: Call) -> bool:
    """A user who stops a stream that was running well is no error; one who leaves before it began waited in vain."""
    return call.failure is not None and not (call.gone and call.replied)


def _make_attempt(call: Call, tried: Attempt, number: int) -> bytes:
    # Its span id is what the backend was told as its parent: a vLLM's own span lies beneath it.
    return write_span(
        (call.trace_id, tried.span_id, call.span_id),
        (_time_ns(call, tried.started), _time_ns(call, tried.ended or call.ended)),
        (find_tried(tried, number),),
        _attempt_facts(tried),
        _state(tried.failure),
    )


def _state(failure: ApiError | None) -> tuple[int, str]:
    return (ERROR, mask_secrets(failure.message)) if failure else (OK, "")


def _time_ns(call: Call, moment: float) -> int:
    return call.started_ns + int((moment - call.started) * 1e9)


def _facts(call: Call) -> Facts:
    facts: Facts = {
        c.REQUEST_ID: call.request_id,
        c.OVERHEAD_MS: round(call.overhead_s * 1000, 3),
        c.UPSTREAM_MS: _ms(call.upstream_s),
        c.QUEUE_WAIT_MS: _ms(call.queue_wait_s),
        c.USER_ID: call.user,
        c.SESSION_ID: call.session,
        c.TIME_TO_FIRST_CHUNK_S: call.ttft_s,
        c.RESPONSE_ID: call.told("id"),
    }
    if call.tags:
        facts[c.TAGS] = orjson.dumps(call.tags).decode()
    if call.limited and (left := call.limited.left_usd) is not None:
        facts[c.BUDGET_LEFT_USD] = write_usd(left)
    if call.guarded:
        _add_guards(facts, call.guarded)
    if call.decision and call.decision.candidate.facts.load_at:
        _add_load(facts, call.decision.candidate.facts)
    if call.copied:
        facts[c.SHADOW_OF] = call.parent_id.hex()
    if call.cache:
        _add_match(facts, call)
    if call.usage:
        facts[c.INPUT_TOKENS], facts[c.OUTPUT_TOKENS] = call.usage.input, call.usage.output
    if call.cost_usd is not None:
        facts[c.COST_USD] = write_usd(call.cost_usd)
    return facts


def _attempt_facts(tried: Attempt) -> Facts:
    facts: Facts = {}
    if tried.usage:
        facts[c.ATTEMPT_INPUT_TOKENS], facts[c.ATTEMPT_OUTPUT_TOKENS] = tried.usage.input, tried.usage.output
    if tried.cost_usd is not None:
        facts[c.ATTEMPT_COST_USD] = write_usd(tried.cost_usd)
    return facts


def _add_guards(facts: Facts, guarded: Guarded) -> None:
    facts[c.GUARD_MS] = _ms(guarded.took_s)
    facts[c.CONTEXT_CUT_TOKENS] = guarded.cut_tokens or None
    if guarded.verdicts:
        facts[c.GUARDS] = orjson.dumps(guarded.told).decode()


def _add_load(facts: Facts, backend: Backend) -> None:
    """What a vLLM said of itself last, mostly with this very answer."""
    facts[c.BACKEND_WAITING], facts[c.BACKEND_RUNNING] = backend.waiting, backend.running
    facts[c.BACKEND_CACHE_USE] = backend.cache_use


def _add_match(facts: Facts, call: Call) -> None:
    facts[c.CACHE_MATCHED], facts[c.CACHE_SIMILARITY] = call.cache_matched, call.cache_similarity
    facts[c.SAVED_MS] = call.saved_ms
    if call.saved_usd is not None:
        facts[c.SAVED_USD] = write_usd(call.saved_usd)


def _ms(seconds: float) -> float | None:
    return round(seconds * 1000, 3) if seconds else None
