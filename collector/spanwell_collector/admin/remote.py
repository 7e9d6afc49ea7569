"""Asks the running collector on behalf of an operator's command."""

from collections.abc import Mapping
from typing import Any, Final

import httpx

from spanwell.errors import SpanwellError
from spanwell.settings import Settings

TIMEOUT_SECONDS: Final = 30.0


def ask(
    settings: Settings,
    method: str,
    path: str,
    *,
    body: Any = None,
    params: Mapping[str, Any] | None = None,
    timeout_s: float | None = TIMEOUT_SECONDS,
) -> Any:
    """The JSON answer of `path` under /api/v1. Raises SpanwellError with the collector's own words."""
    headers = {"authorization": f"Bearer {settings.api_token}"} if settings.api_token else {}
    try:
        reply = httpx.request(
            method,
            f"{settings.collector_url}/api/v1{path}",
            json=body,
            params=params,
            headers=headers,
            timeout=timeout_s,
            trust_env=False,
        )
    except httpx.HTTPError as error:
        raise SpanwellError(f"no collector answers at {settings.collector_url} ({error}): start it first") from error
    if reply.is_error:
        raise SpanwellError(explain(reply))
    return reply.json()


def explain(reply: httpx.Response) -> str:
    """What the collector says is wrong; of an answer that was read."""
    try:
        return str(reply.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the collector answered {reply.status_code}"
