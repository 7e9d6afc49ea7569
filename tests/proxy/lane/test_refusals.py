import json
from typing import Any

import httpx
import openai
import pytest
from litellm import exceptions as litellm

from spanwell_proxy.failures import ApiError
from spanwell_proxy.lane.refusals import error_event, refuse

KEY = "sk-0123456789abcdef"
PARAMS = {"api_key": KEY, "aws_secret_access_key": "abcdefghijkl", "model": "anthropic/claude"}


def anthropic_error(kind: str, words: str) -> str:
    said = {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"}
    return f"AnthropicException - {json.dumps(said)}. Handle with `litellm.InternalServerError`."


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (litellm.ContextWindowExceededError("too long", "m", "p"), 400, "context_length_exceeded"),
        (litellm.ContentPolicyViolationError("blocked", "m", "p"), 400, "content_policy_violation"),
        (litellm.AuthenticationError("no", "p", "m"), 401, "invalid_api_key"),
        (litellm.NotFoundError("no", "m", "p"), 404, "model_not_found"),
        (litellm.RateLimitError("slow down", "p", "m"), 429, "rate_limit_exceeded"),
        (litellm.Timeout("late", "m", "p"), 504, "upstream_timeout"),
        (litellm.ServiceUnavailableError("no", "p", "m"), 503, "upstream_unavailable"),
        (litellm.APIConnectionError("no", "p", "m"), 502, "upstream_unreachable"),
        (litellm.InternalServerError("boom", "p", "m"), 500, "upstream_500"),
        (litellm.InternalServerError(anthropic_error("overloaded_error", "x"), "p", "m"), 529, "upstream_overloaded"),
        (litellm.BadRequestError(anthropic_error("request_too_large", "x"), "m", "p"), 413, "request_too_large"),
    ],
)
def test_an_error_keeps_its_status_and_gets_openais_word(error: openai.OpenAIError, status: int, kind: str) -> None:
    refusal = refuse(error, {})

    assert (refusal.status, refusal.kind) == (status, kind)


def fail_in(name: str) -> openai.OpenAIError:
    """As LiteLLM fails in a function of that name, at something it did not expect."""
    scope: dict[str, Any] = {}
    exec(f"def {name}():\n    return {{}}['content']", scope)
    try:
        scope[name]()
    except KeyError as cause:
        error = litellm.APIConnectionError("'content'", "p", "m")
        error.__context__ = cause
    return error


def test_who_sent_what_cannot_be_read_is_to_blame() -> None:
    asked, answered = refuse(fail_in("map_response_format"), {}), refuse(fail_in("transform_response"), {})

    assert (asked.status, asked.kind) == (400, "invalid_request")
    assert (answered.status, answered.message) == (502, "the backend's answer cannot be translated")


def test_an_error_is_never_answered_as_a_success() -> None:
    assert refuse(litellm.APIError(200, "no JSON", "p", "m"), {}).status == 502


def test_only_the_providers_own_words_are_repeated() -> None:
    error = litellm.BadRequestError(anthropic_error("invalid_request_error", "temperature: range: -1..1"), "m", "p")

    assert refuse(error, {}).message == "temperature: range: -1..1"


def test_prompts_and_tracebacks_are_not_repeated() -> None:
    first = litellm.BadRequestError("Invalid Message\nReceived Messages=[{'content': 'my secret'}]", "m", "p")
    second = litellm.APIConnectionError('broken\nTraceback (most recent call last):\n  File "main.py"', "p", "m")

    assert [refuse(error, {}).message for error in (first, second)] == ["Invalid Message", "broken"]


def test_secrets_of_the_deployment_are_not_repeated() -> None:
    error = litellm.AuthenticationError(f"the key {KEY} or abcdefghijkl is wrong", "p", "m")

    assert refuse(error, PARAMS).message == "the key [SECRET] or [SECRET] is wrong"


def test_when_to_come_back_is_handed_on() -> None:
    response = httpx.Response(429, headers={"retry-after": "7"}, request=httpx.Request("POST", "http://x"))

    assert refuse(litellm.RateLimitError("slow down", "p", "m", response=response), {}).retry_after_s == 7


def test_a_connection_that_broke_is_not_the_providers_error() -> None:
    error = litellm.InternalServerError("Server disconnected", "p", "m")
    error.__context__ = httpx.ReadError("Server disconnected")

    assert refuse(error, {}).status == 502


@pytest.mark.parametrize(
    ("path", "event"),
    [
        (
            "/chat/completions",
            b'data: {"error":{"message":"boom","type":"api_error","param":null,"code":"upstream_529"}}',
        ),
        ("/messages", b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"boom"}}'),
        ("/responses", b'event: error\ndata: {"type":"error","code":"upstream_529","message":"boom","param":null}'),
    ],
)
def test_a_stream_ends_in_the_words_of_its_api(path: str, event: bytes) -> None:
    assert event + b"\n\n" == error_event(path, ApiError(529, "upstream_529", "boom"))
