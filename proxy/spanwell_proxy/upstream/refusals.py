"""What a backend's failure is to the caller: a status, words without secrets, and whether another attempt may help."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

import orjson

from spanwell.known_secrets import mask_known
from spanwell.masking import mask_secrets
from spanwell_proxy.config.resilience import CONTENT_POLICY, CONTEXT_WINDOW
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.failures import GUARD_ASKS_AGAIN, ApiError, error_body
from spanwell_proxy.upstream.admission import QUEUE_FULL
from spanwell_proxy.upstream.client import Answer

RETRYABLE: Final = frozenset((408, 409, 425, 429))
OVERLOADED: Final = 529  # Anthropic's word, which no other client knows
LONGEST_MESSAGE: Final = 2000
LONGEST_BYTES: Final = 32 * 1024  # of a refusal: to look for secrets in more would hold up the other calls
CODES: Final = {
    "context_length_exceeded": CONTEXT_WINDOW,
    "content_policy_violation": CONTENT_POLICY,
    "content_filter": CONTENT_POLICY,
    "moderation_blocked": CONTENT_POLICY,
}
# What backends that have no code for it say: OpenAI, vLLM, Anthropic, TGI, Bedrock, Azure.
PHRASES: Final = {
    "maximum context length": CONTEXT_WINDOW,
    "context length of only": CONTEXT_WINDOW,
    "longer than the maximum model length": CONTEXT_WINDOW,
    "longer than the model's context length": CONTEXT_WINDOW,
    "exceed context limit": CONTEXT_WINDOW,
    "exceeds the context window": CONTEXT_WINDOW,
    "prompt is too long": CONTEXT_WINDOW,
    "input is too long": CONTEXT_WINDOW,
    "tokens + `max_new_tokens` must be": CONTEXT_WINDOW,
    "content management policy": CONTENT_POLICY,
    "rejected by the safety system": CONTENT_POLICY,
    "rejected as a result of our safety system": CONTENT_POLICY,
}
Help = Literal["again", "elsewhere", "never"]
ELSEWHERE: Final = frozenset(("authentication", "not_found", "redirect"))
NOT_HERE: Final = frozenset(("bad_request", CONTEXT_WINDOW, CONTENT_POLICY))


def read_failure(deployment: Deployment, dialect: str, answer: Answer, body: bytes) -> ApiError:
    """A backend's refusal. Its own words go through if they are in OpenAI's or Anthropic's shape."""
    status, retry_after = answer.status, answer.header("Retry-After")
    message, shaped = _message_of(body)
    message = clean(message, deployment)[:LONGEST_MESSAGE]
    kind = "upstream_rate_limited" if status == 429 else f"upstream_{status}"
    retry_after_s = read_retry_after(retry_after, datetime.now(UTC)) if retry_after else None
    # The client's key was right, and it cannot pay our bills: what the gateway itself did wrong is no 4xx.
    faulty = status in (401, 402, 403, 407) or not 400 <= status < 600
    retryable = faulty or status in RETRYABLE or status >= 500
    error = None if shaped is None or faulty else _clean_error(shaped, deployment)
    told: dict[str, Any] = {"error": error}
    if error is None:
        message = f"the backend of {deployment.model_name!r} answered {status}: {message}"
        status = 502 if faulty else status
        told = error_body(status, kind, message)
    if status == OVERLOADED and dialect != "anthropic":
        status = 503
    return ApiError(status, kind, message, retryable=retryable, retry_after_s=retry_after_s, body=told)


def classify(failure: ApiError) -> str:
    """By the words that retries and fallbacks are configured with."""
    if failure.kind == GUARD_ASKS_AGAIN:
        return "guard"
    if failure.kind in ("upstream_401", "upstream_402", "upstream_403", "upstream_407"):
        return "authentication"
    if failure.kind.startswith("upstream_3"):
        return "redirect"
    if failure.status in (408, 504):
        return "timeout"
    if failure.status == 404:
        return "not_found"
    if failure.status == 429:
        return "rate_limit"
    if failure.status >= 500:
        return "unavailable" if failure.status in (503, OVERLOADED) else "internal"
    return _classify_refusal(failure)


def judge_help(failure: ApiError) -> Help:
    """Where another attempt may go better: at the same deployment too, only at another one, or nowhere."""
    kind = classify(failure)
    if kind in ELSEWHERE or failure.kind == QUEUE_FULL:
        return "elsewhere"
    return "again" if failure.retryable and kind not in NOT_HERE else "never"


def is_faulty(failure: ApiError) -> bool:
    """Whether it speaks against the deployment, and not against the request or what was answered."""
    return is_upstream(failure) and (failure.status == 429 or failure.status >= 500)


def is_upstream(failure: ApiError) -> bool:
    """Whether a backend failed, and not a guard or a limit of ours."""
    return failure.kind.startswith("upstream")


def read_retry_after(value: str, now: datetime) -> float | None:
    """Seconds, from a number or a date."""
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if seconds < float("inf") else None
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError):
        return None


def clean(text: str, deployment: Deployment) -> str:
    """A backend's words without secrets, and without the key it was called with, whatever that looks like."""
    text = text[:LONGEST_BYTES]
    if deployment.api_key:
        text = mask_known(text, deployment.api_key)
    return mask_secrets(text)


def _classify_refusal(failure: ApiError) -> str:
    error = (failure.body or {}).get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and code in CODES:
        return CODES[code]
    said = failure.message.lower()
    return next((kind for phrase, kind in PHRASES.items() if phrase in said), "bad_request")


def _clean_error(shaped: dict[str, Any], deployment: Deployment) -> Any:
    """None where it is nested too deeply, or is no JSON any more without its secrets."""
    try:
        return orjson.loads(clean(orjson.dumps(shaped).decode(), deployment))
    except (TypeError, ValueError):
        return None


def _message_of(body: bytes) -> tuple[str, dict[str, Any] | None]:
    try:
        document = orjson.loads(body) if len(body) <= LONGEST_BYTES else None
    except ValueError:
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return error["message"], error
    return _describe(body), None


def _describe(body: bytes) -> str:
    if not body.strip():
        return "nothing more"
    if body.lstrip()[:1] == b"<":
        return "a page that is not for programs"
    return body[:LONGEST_MESSAGE].decode("utf-8", "replace")
