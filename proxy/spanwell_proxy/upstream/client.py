"""The HTTP client towards backends. What a backend may see of a request is written here and nowhere else."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import orjson

from spanwell.masking import mask_secrets
from spanwell_proxy.apis.api import Api
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.failures import ApiError, error_body
from spanwell_proxy.upstream.connection import NEVER
from spanwell_proxy.upstream.wire import UNLIMITED, Limits, Request, Wire

RETRYABLE = frozenset((401, 403, 408, 409, 425, 429, 500, 502, 503, 504, 529))
LONGEST_MESSAGE = 2000


class Answer(Protocol):
    """A backend's answer, its body not yet read. Reading raises OSError when the connection breaks."""

    @property
    def status(self) -> int: ...

    def header(self, name: str) -> str: ...

    async def read(self, until: float = NEVER) -> bytes: ...

    async def read_some(self, until: float = NEVER) -> bytes:
        """What has arrived; empty at the end. TimeoutError at `until`, a time of the loop's clock; may be repeated."""

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""

    def leave(self) -> None:
        """Give the connection back when the body has ended, if it does soon."""


class Client:
    """Connections to every backend. No redirect is followed, no cookie kept, no proxy variable read."""

    def __init__(self, lane: str = "") -> None:
        """`lane` is the unix socket of the LiteLLM lane."""
        self._lane = lane
        self._wire = Wire()

    async def post(
        self, deployment: Deployment, api: Api, headers: Mapping[str, str], body: bytes, limits: Limits = UNLIMITED
    ) -> Answer:
        """Send, and wait for the status and headers. Raises OSError where the backend cannot be reached."""
        if deployment.is_translated(api):
            return await self._wire.send(Request("unix:" + self._lane, api.path, headers, body), limits)
        path = deployment.url.path + api.path + deployment.url.query
        return await self._wire.send(Request(deployment.url.origin, path, headers, body), limits)

    async def close(self) -> None:
        self._wire.close()


def request_headers(call: Call, tried: Attempt) -> dict[str, str]:
    """Written anew for the backend: of the client's own headers, only the trace and what its API allows go on."""
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream" if call.stream else "application/json",
        "user-agent": "spanwell",
        "x-request-id": call.request_id,  # vLLM's response id and span carry it
        "traceparent": call.trace_to(tried.span_id).decode(),
    }
    if not tried.deployment.is_translated(call.api):
        headers.update(tried.deployment.headers)
    if call.api.relay_headers:
        headers.update(call.api.relay_headers(call.headers))
    if call.parent_id and b"tracestate" in call.headers:
        headers["tracestate"] = call.headers[b"tracestate"].decode("latin-1")
    return headers


def read_failure(deployment: Deployment, status: int, retry_after: str, body: bytes) -> ApiError:
    """A backend's refusal. Its own words go through if they are in OpenAI's shape, without any secret."""
    message, shaped = _message_of(body)
    message = clean(message, deployment)[:LONGEST_MESSAGE]
    kind = "upstream_rate_limited" if status == 429 else f"upstream_{status}"
    retry_after_s = read_retry_after(retry_after, datetime.now(UTC)) if retry_after else None
    # The client's key was right; it is the gateway's own that the backend refused. Redirects are not followed.
    faulty = status in (401, 403) or status < 400
    if shaped is not None and not faulty:
        cleaned = orjson.loads(clean(orjson.dumps(shaped).decode(), deployment))
        return ApiError(
            status, kind, message, retryable=status in RETRYABLE, retry_after_s=retry_after_s, body={"error": cleaned}
        )
    told = f"the backend of {deployment.model_name!r} answered {status}: {message}"
    answered = 502 if faulty else status
    return ApiError(
        answered,
        kind,
        told,
        retryable=status in RETRYABLE or faulty,
        retry_after_s=retry_after_s,
        body=error_body(answered, kind, told),
    )


def read_retry_after(value: str, now: datetime) -> float | None:
    """Seconds, from a number or a date."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError):
        return None


def _message_of(body: bytes) -> tuple[str, dict[str, Any] | None]:
    try:
        document = orjson.loads(body)
    except ValueError:
        return body[:LONGEST_MESSAGE].decode("utf-8", "replace"), None
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return error["message"], error
    return orjson.dumps(document).decode()[:LONGEST_MESSAGE], None


def clean(text: str, deployment: Deployment) -> str:
    """A backend's words without secrets, and without the key it was called with, whatever that looks like."""
    if deployment.api_key:
        text = text.replace(deployment.api_key, "[SECRET]")
    return mask_secrets(text)
