"""Asks a model through the proxy, as any client does; marked as a judge's call, so that nobody judges or pays it."""

from collections.abc import Mapping
from typing import Any

import httpx

from spanwell.conventions import HEADER_APP, HEADER_CACHE, HEADER_PURPOSE
from spanwell.errors import SpanwellError
from spanwell.masking import mask_secrets
from spanwell_collector.worker.messages import well_formed
from spanwell_collector.worker.schedule import TryLaterError, retry_after_seconds, utc_now

APP = "spanwell-judge"
TIMEOUT_SECONDS = 60.0
ERROR_CHARS = 300


class ProxyError(SpanwellError):
    """The proxy turned every such call away: the key, the model's name or the route is wrong."""


class RefusedError(SpanwellError):
    """The proxy or the model refused this one conversation: too long, or blocked by a guard."""


async def complete(http: httpx.AsyncClient, api_key: str, question: Mapping[str, Any]) -> str:
    """The model's text, '' where it gave none; `question` is an OpenAI chat request's body.

    Raises TryLaterError, RefusedError or ProxyError.
    """
    headers = {HEADER_PURPOSE: "judge", HEADER_APP: APP, HEADER_CACHE: "no-store"}
    if api_key:
        headers["authorization"] = f"Bearer {api_key}"
    try:
        response = await http.post("/v1/chat/completions", json=question, headers=headers)
    except httpx.HTTPError as error:
        raise TryLaterError(f"proxy: {type(error).__name__} {error}", 0.0) from error
    _raise_for(response)
    return _text(response)


def _raise_for(response: httpx.Response) -> None:
    status = response.status_code
    if status == 200:
        return
    problem = f"proxy answered {status}: {mask_secrets(response.text)[:ERROR_CHARS]}"
    if status == 429 or status >= 500:
        raise TryLaterError(problem, retry_after_seconds(response.headers, utc_now()))
    if status in (400, 413, 422):
        raise RefusedError(problem)
    raise ProxyError(problem)


def _text(response: httpx.Response) -> str:
    try:
        content = response.json()["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return ""
    return well_formed(content) if isinstance(content, str) else ""
