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
        (litellm.APIConnectionError("Unable to map the custom llm provider=x", "p", "m"), 404, "not_offered"),
        (litellm.BadRequestError("Error converting to valid response block", "m", "p"), 502, "upstream_unreadable"),
        (litellm.InternalServerError(anthropic_error("overloaded_error", "x"), "p", "m"), 529, "upstream_overloaded"),
        (litellm.BadRequestError(anthropic_error("request_too_large", "x"), "m", "p"), 413, "request_too_large"),
    ],
)
def test_an_error_keeps_its_status_and_gets_openais_word(error: openai.OpenAIError, status: int, kind: str) -> None:
    refusal = refuse(error, {})

    assert (refusal.status, refusal.kind) == (status, kind)


def fail_in(names: str, what: str = "{}['content']") -> openai.OpenAIError:
    """As LiteLLM fails at something it did not expect, in functions of these names, each called by the one before."""
    scope: dict[str, Any] = {"json": json}
    first, *others = names.split()
    for name, called in zip([first, *others], [*(f"{other}()" for other in others), what], strict=True):
        exec(f"def {name}():\n    return {called}", scope)
    try:
        scope[first]()
    except Exception as cause:  # noqa: BLE001 what LiteLLM itself raises is often no more than that
        error = litellm.APIConnectionError("'content'", "p", "m")
        error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ("completion map_response_format", "{}['content']"),
        ("dispatch_chat_response async_completion transform_request_body transform_system", "'' + {}"),
        ("map_openai_params apply_response_schema_transformation", "'' in None"),
        ("completion transform_request", "json.loads('x')"),  # the arguments of a tool call
        ("gemini_convert_messages_with_history convert_tool_result", "exec('raise Exception(1)')"),
    ],
)
def test_a_request_that_cannot_be_read_is_the_clients_fault(names: str, what: str) -> None:
    refusal = refuse(fail_in(names, what), {})

    assert (refusal.status, refusal.kind) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ("completion transform_response", "{}['content']"),
        ("transform_response read_parts", "{}['content']"),
        ("transform_response", "json.loads('x')"),
        ("post", "json.loads('x')"),
        ("chunk_parser", "exec('raise Exception(1)')"),
    ],
)
def test_an_answer_that_cannot_be_read_is_the_backends_fault(names: str, what: str) -> None:
    assert refuse(fail_in(names, what), {}).status == 502


def test_an_error_is_never_answered_as_a_success() -> None:
    assert refuse(litellm.APIError(200, "no JSON", "p", "m"), {}).status == 502


def test_only_the_providers_own_words_are_repeated() -> None:
    error = litellm.BadRequestError(anthropic_error("invalid_request_error", "temperature: range: -1..1"), "m", "p")

    assert refuse(error, {}).message == "temperature: range: -1..1"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("Invalid Message\nReceived Messages=[{'content': 'my secret'}]", "Invalid Message"),
        ('broken\nTraceback (most recent call last):\n  File "main.py"', "broken"),
        ("Invalid Message passed in - {'role': 'x', 'content': 'my secret'}", "Invalid Message passed in"),
        ("Invalid Message passed in {'role': 'x', 'content': 'my secret'}", "Invalid Message passed in"),
        ("query\n  not a text [type=string_type, input_value=['my\nsecret'], input_type=list]", "query\n  not a text"),
    ],
)
def test_prompts_and_tracebacks_are_not_repeated(words: str, told: str) -> None:
    assert refuse(litellm.APIConnectionError(words, "p", "m"), {}).message == told


def test_secrets_of_the_deployment_are_not_repeated() -> None:
    error = litellm.AuthenticationError(f"the key {KEY} or abcdefghijkl is wrong", "p", "m")

    assert refuse(error, PARAMS).message == "the key [SECRET] or [SECRET] is wrong"


def test_a_refusal_always_says_something() -> None:
    assert refuse(litellm.APIConnectionError("", "p", "m"), {}).message == "the backend gave no reason"


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
