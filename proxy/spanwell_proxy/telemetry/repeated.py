"""What spans say in the same words from call to call: looked up as a block of bytes, not written each time.

Who asked for what, how it was answered, and what an attempt was. What is a call's own is in `spans`.
"""

from typing import Any, Final

from spanwell import conventions as c
from spanwell.pricing import Usage
from spanwell_proxy.apis.api import Document
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.routing.choosing import Decision
from spanwell_proxy.telemetry.otlp import Blocks, Values, write_facts, write_name

# In the order in which the functions below tell them.
ASKED: Final = (
    *(c.OPERATION, c.REQUEST_MODEL, c.STREAM, c.TEMPERATURE, c.MAX_TOKENS),
    *(c.APP, c.PURPOSE, c.TIER, c.RELEASE, c.PROMPT_NAME, c.PROMPT_VERSION, c.KEY_ID, c.TEAM),
)
ENDED: Final = (
    *(c.HTTP_STATUS, c.ERROR_TYPE, c.ATTEMPTS, c.CONTINUED, c.STREAM_END, c.CACHE, c.CACHE_TYPE),
    *(c.BUDGET_STATE, c.PRICE_VERSION, c.SERVICE_TIER, c.USAGE_ESTIMATED, c.RESPONSE_MODEL, c.FINISH_REASONS),
)
SERVED: Final = (c.PROVIDER, c.DEPLOYMENT, c.SERVER_ADDRESS, c.SERVER_PORT, c.SIMULATED, c.FALLBACK_FROM)
DECIDED: Final = (c.ROUTE_STRATEGY, c.ROUTE_POLICY, c.ROUTE_PROBABILITY, c.EXPERIMENT, c.EXPERIMENT_ARM)
ANSWERED: Final = ENDED + SERVED + DECIDED
USED: Final = (
    *(c.CACHE_READ_TOKENS, c.CACHE_WRITE_TOKENS, c.REASONING_TOKENS, c.CACHE_WRITE_1H_TOKENS),
    *(c.AUDIO_INPUT_TOKENS, c.AUDIO_OUTPUT_TOKENS, c.IMAGE_INPUT_TOKENS, c.IMAGE_OUTPUT_TOKENS),
)
TRIED: Final = (
    *(c.ATTEMPT_NUMBER, c.ATTEMPT_WHY, c.ATTEMPT_STATUS, c.ATTEMPT_DEPLOYMENT),
    *(c.SERVER_ADDRESS, c.SERVER_PORT, c.ERROR_TYPE),
)
BY_NOBODY: Final = (None,) * len(SERVED)
UNDECIDED: Final = (None,) * len(DECIDED)


def find_asked(call: Call) -> bytes:
    """Who asked for what; with the span's name."""
    api, caller, request = call.api, call.caller, call.request
    return _ASKED[
        api.operation or api.name,
        api.operation,
        call.model,
        call.stream,
        _number(request.get("temperature")),
        api.max_tokens(request) or None,  # nought, where an API gives no text
        call.app,
        call.purpose,
        call.tier,
        call.release,
        call.prompt_name,
        call.prompt_version,
        caller.key_id if caller else None,
        caller.team if caller else None,
    ]


def find_answered(call: Call, answer: Document | None, error_kind: str | None) -> bytes:
    """How it ended, who answered, and why that one."""
    failure, limited, price = call.failure, call.limited, call.price
    deployment, decision = call.deployment, call.decision
    ended = (
        call.status or (failure.status if failure else 500),
        error_kind,
        len(call.attempts),
        call.continued or None,
        call.stream_end,
        call.cache,
        call.cache_type,
        limited.state if limited else None,
        price.version if price else None,
        call.service_tier,
        call.usage_estimated or None,
        call.told("model"),
        tuple(call.api.reasons(answer)) if answer else None,
    )
    served = _tell_served(deployment, call) if deployment else BY_NOBODY
    return _ANSWERED[ended + served + (_tell_decided(decision) if decision else UNDECIDED)]


def find_used(usage: Usage | None) -> bytes:
    """Tokens that are part of others: mostly there are none."""
    if usage is None:
        return b""
    return _USED[
        usage.cached,
        usage.cache_write,
        usage.reasoning,
        usage.cache_write_1h or None,
        usage.audio_input or None,
        usage.audio_output or None,
        usage.image_input or None,
        usage.image_output or None,
    ]


def find_tried(tried: Attempt, number: int) -> bytes:
    """Which deployment was asked why, and with what success; with the span's name."""
    deployment, failure = tried.deployment, tried.failure
    address = deployment.url
    return _TRIED[
        number,
        tried.why,
        tried.status or None,
        deployment.id,
        address.host,
        address.port,
        failure.kind if failure else None,
    ]


def _tell_served(deployment: Deployment, call: Call) -> Values:
    address = deployment.url
    return (
        deployment.provider,
        deployment.id,
        address.host,
        address.port,
        deployment.simulated or None,
        call.model if _is_moved(call) else "",
    )


def _tell_decided(decision: Decision) -> Values:
    return (
        decision.strategy,
        decision.policy,
        round(decision.probability, 9),
        decision.experiment,
        decision.arm if decision.experiment else "",
    )


def _is_moved(call: Call) -> bool:
    """Whether another model answered than the one asked for."""
    for tried in call.attempts:
        if tried.why == "fallback":
            return True
    return call.limited is not None and call.limited.is_downgraded


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _write_asked(values: Values) -> bytes:
    verb, *told = values
    facts = dict(zip(ASKED, told, strict=True))
    return write_name(f"{verb} {facts[c.REQUEST_MODEL]}".strip()) + write_facts(facts)


def _write_answered(values: Values) -> bytes:
    return write_facts(dict(zip(ANSWERED, values, strict=True)))


def _write_used(values: Values) -> bytes:
    return write_facts(dict(zip(USED, values, strict=True)))


def _write_tried(values: Values) -> bytes:
    facts = dict(zip(TRIED, values, strict=True))
    return write_name(f"attempt {facts[c.ATTEMPT_NUMBER]}") + write_facts(facts)


_ASKED: Final = Blocks(_write_asked)
_ANSWERED: Final = Blocks(_write_answered)
_USED: Final = Blocks(_write_used)
_TRIED: Final = Blocks(_write_tried)
