"""Makes OTLP spans of finished calls: one of the call, and beneath it one of each attempt. Behind the request path."""

import logging
from collections.abc import Mapping
from typing import Any, Final

import orjson

from spanwell import conventions as c
from spanwell.masking import mask_secrets
from spanwell.pricing import Usage, write_usd
from spanwell_proxy.apis.api import Document
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.guarded import Guarded
from spanwell_proxy.routing.choosing import Decision
from spanwell_proxy.telemetry.otlp import ERROR, OK, Value, write_request, write_span
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
    facts = _facts(call, answer)
    if keep_text:
        facts.update(tell_texts(call, answer, keep_text))
    status = (ERROR, mask_secrets(call.failure.message)) if call.failure and is_error(call) else (OK, "")
    whole = write_span(
        (call.trace_id, call.span_id, call.parent_id),
        f"{call.api.operation or call.api.name} {call.model}".strip(),
        (call.started_ns, _time_ns(call, call.ended)),
        facts,
        status,
    )
    return [whole, *(_make_attempt(call, tried, number) for number, tried in enumerate(call.attempts, 1))]


def is_error(call: Call) -> bool:
    """A user who stops a stream that was running well is no error; one who leaves before it began waited in vain."""
    return call.failure is not None and not (call.gone and call.replied)


def _make_attempt(call: Call, tried: Attempt, number: int) -> bytes:
    # Its span id is what the backend was told as its parent: a vLLM's own span lies beneath it.
    return write_span(
        (call.trace_id, tried.span_id, call.span_id),
        f"attempt {number}",
        (_time_ns(call, tried.started), _time_ns(call, tried.ended or call.ended)),
        _attempt_facts(tried, number),
        (ERROR, mask_secrets(tried.failure.message)) if tried.failure else (OK, ""),
    )


def _time_ns(call: Call, moment: float) -> int:
    return call.started_ns + int((moment - call.started) * 1e9)


def _facts(call: Call, answer: Document | None) -> Facts:
    failure, caller = call.failure, call.caller
    facts: Facts = {
        c.OPERATION: call.api.operation,
        c.REQUEST_MODEL: call.model,
        c.STREAM: call.stream,
        c.HTTP_STATUS: call.status or (failure.status if failure else 500),
        c.REQUEST_ID: call.request_id,
        c.ATTEMPTS: len(call.attempts),
        c.OVERHEAD_MS: round(call.overhead_s * 1000, 3),
        c.UPSTREAM_MS: _ms(call.upstream_s),
        c.QUEUE_WAIT_MS: _ms(call.queue_wait_s),
        c.CONTINUED: call.continued or None,
        c.APP: call.app,
        c.USER_ID: call.user,
        c.SESSION_ID: call.session,
        c.PURPOSE: call.purpose,
        c.TIER: call.tier,
        c.RELEASE: call.release,
        c.PROMPT_NAME: call.prompt_name,
        c.PROMPT_VERSION: call.prompt_version,
        c.STREAM_END: call.stream_end,
        c.TEMPERATURE: _number(call.request.get("temperature")),
        c.MAX_TOKENS: call.api.max_tokens(call.request) or None,  # nought, where an API gives no text
        c.TIME_TO_FIRST_CHUNK_S: call.ttft_s,
    }
    if call.tags:
        facts[c.TAGS] = orjson.dumps(call.tags).decode()
    if failure and is_error(call):
        facts[c.ERROR_TYPE] = failure.kind
    if call.limited:
        left = call.limited.left_usd
        facts[c.BUDGET_STATE], facts[c.BUDGET_LEFT_USD] = call.limited.state, None if left is None else write_usd(left)
    if caller:
        facts[c.KEY_ID], facts[c.TEAM] = caller.key_id, caller.team
    if call.deployment:
        _add_deployment(facts, call.deployment)
        facts[c.FALLBACK_FROM] = call.model if _is_moved(call) else ""
    _add_guards(facts, call.guarded)
    if call.decision:
        _add_decision(facts, call.decision)
    facts[c.SHADOW_OF] = call.parent_id.hex() if call.copied else ""
    if call.cache:
        _add_cache(facts, call)
    if call.usage:
        _add_usage(facts, call.usage)
    _add_bill(facts, call)
    _add_answer(facts, call, answer)
    return facts


def _attempt_facts(tried: Attempt, number: int) -> Facts:
    deployment = tried.deployment
    facts: Facts = {
        c.ATTEMPT_NUMBER: number,
        c.ATTEMPT_WHY: tried.why,
        c.ATTEMPT_DEPLOYMENT: deployment.id,
        c.ATTEMPT_STATUS: tried.status or None,
        c.SERVER_ADDRESS: deployment.url.host,
        c.SERVER_PORT: deployment.url.port,
    }
    if tried.failure:
        facts[c.ERROR_TYPE] = tried.failure.kind
    if tried.usage:
        facts[c.ATTEMPT_INPUT_TOKENS], facts[c.ATTEMPT_OUTPUT_TOKENS] = tried.usage.input, tried.usage.output
    if tried.cost_usd is not None:
        facts[c.ATTEMPT_COST_USD] = write_usd(tried.cost_usd)
    return facts


def _is_moved(call: Call) -> bool:
    """Whether another model answered than the one asked for."""
    softly = call.limited is not None and call.limited.is_downgraded
    return softly or any(tried.why == "fallback" for tried in call.attempts)


def _add_deployment(facts: Facts, deployment: Deployment) -> None:
    facts[c.PROVIDER], facts[c.DEPLOYMENT] = deployment.provider, deployment.id
    facts[c.SERVER_ADDRESS], facts[c.SERVER_PORT] = deployment.url.host, deployment.url.port
    if deployment.simulated:
        facts[c.SIMULATED] = True


def _add_guards(facts: Facts, guarded: Guarded | None) -> None:
    if guarded is None:
        return
    facts[c.GUARD_MS] = _ms(guarded.took_s)
    facts[c.CONTEXT_CUT_TOKENS] = guarded.cut_tokens or None
    if guarded.verdicts:
        facts[c.GUARDS] = orjson.dumps(guarded.told).decode()


def _add_decision(facts: Facts, decision: Decision) -> None:
    facts[c.ROUTE_STRATEGY], facts[c.ROUTE_POLICY] = decision.strategy, decision.policy
    facts[c.ROUTE_PROBABILITY] = round(decision.probability, 9)
    if decision.experiment:
        facts[c.EXPERIMENT], facts[c.EXPERIMENT_ARM] = decision.experiment, decision.arm
    backend = decision.candidate.facts
    if backend.load_at:  # what a vLLM said of itself last, mostly with this very answer
        facts[c.BACKEND_WAITING], facts[c.BACKEND_RUNNING] = backend.waiting, backend.running
        facts[c.BACKEND_CACHE_USE] = backend.cache_use


def _add_cache(facts: Facts, call: Call) -> None:
    facts[c.CACHE], facts[c.CACHE_TYPE] = call.cache, call.cache_type
    facts[c.CACHE_MATCHED], facts[c.CACHE_SIMILARITY] = call.cache_matched, call.cache_similarity
    facts[c.SAVED_MS] = call.saved_ms
    if call.saved_usd is not None:
        facts[c.SAVED_USD] = write_usd(call.saved_usd)


def _add_bill(facts: Facts, call: Call) -> None:
    if call.price:
        facts[c.PRICE_VERSION] = call.price.version
    if call.cost_usd is not None:
        facts[c.COST_USD] = write_usd(call.cost_usd)
    facts[c.SERVICE_TIER] = call.service_tier
    facts[c.USAGE_ESTIMATED] = call.usage_estimated or None


def _add_answer(facts: Facts, call: Call, answer: Document | None) -> None:
    if call.reader:
        facts[c.RESPONSE_ID], facts[c.RESPONSE_MODEL] = call.reader.id, call.reader.model
    elif call.document:
        facts[c.RESPONSE_ID], facts[c.RESPONSE_MODEL] = _text(call.document, "id"), _text(call.document, "model")
    if answer:
        facts[c.FINISH_REASONS] = call.api.reasons(answer)


def _add_usage(facts: Facts, usage: Usage) -> None:
    facts[c.INPUT_TOKENS], facts[c.OUTPUT_TOKENS] = usage.input, usage.output
    facts[c.CACHE_READ_TOKENS], facts[c.CACHE_WRITE_TOKENS] = usage.cached, usage.cache_write
    facts[c.REASONING_TOKENS] = usage.reasoning
    facts[c.CACHE_WRITE_1H_TOKENS] = usage.cache_write_1h or None
    facts[c.AUDIO_INPUT_TOKENS], facts[c.AUDIO_OUTPUT_TOKENS] = usage.audio_input or None, usage.audio_output or None
    facts[c.IMAGE_INPUT_TOKENS], facts[c.IMAGE_OUTPUT_TOKENS] = usage.image_input or None, usage.image_output or None


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _ms(seconds: float) -> float | None:
    return round(seconds * 1000, 3) if seconds else None
