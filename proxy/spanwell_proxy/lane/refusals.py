"""What LiteLLM's errors mean: a status and OpenAI's words, whoever's error it was."""

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import openai
import orjson

from spanwell_proxy.failures import ApiError, error_body

# By the class's name: LiteLLM's own are children of OpenAI's.
KINDS = {
    "ContextWindowExceededError": (400, "context_length_exceeded"),
    "ContentPolicyViolationError": (400, "content_policy_violation"),
    "UnsupportedParamsError": (400, "unsupported_parameter"),
    "ImageFetchError": (400, "invalid_image_url"),
    "Timeout": (504, "upstream_timeout"),
    "RateLimitError": (429, "rate_limit_exceeded"),
    "AuthenticationError": (401, "invalid_api_key"),
    "PermissionDeniedError": (403, "permission_denied"),
    "NotFoundError": (404, "model_not_found"),
    "BadRequestError": (400, "invalid_request"),
    "ServiceUnavailableError": (503, "upstream_unavailable"),
    "APIConnectionError": (502, "upstream_unreachable"),
}
# What providers say of themselves in a body whose status LiteLLM does not hand on, and LiteLLM of a client's messages.
SAID = {
    "overloaded_error": (529, "upstream_overloaded"),
    "request_too_large": (413, "request_too_large"),
    "Please ensure all user messages are valid": (400, "invalid_request"),
    "Unable to map the custom llm provider": (404, "not_offered"),
    "Error converting to valid response block": (502, "upstream_unreadable"),
}
UNCLEAR = "APIConnectionError"  # LiteLLM's word for whatever it has no other one for
UNREADABLE = "upstream_unreadable"
NO_ANSWER = ("TransportError", "ClientConnectionError", "ClientPayloadError")  # of httpx and aiohttp
PREFIX = re.compile(r"(litellm\.\w+: |\w+(Exception|Error) - |\w+Error: )+")
SUFFIX = re.compile(
    r"\s*(Traceback \(most recent|Handle with `litellm|\n?Received Messages=|Received - message=|(- )?\{'role'"
    r"|Original exception: ).*",
    re.DOTALL,
)
# What Pydantic says a wrong value was.
QUOTED = re.compile(
    r"\s*\[type=\w+, input_value=.*?, input_type=\w+\](\s*For further information visit \S+)?", re.DOTALL
)
# Of code that takes apart what it did not expect; a JSON decoder's is a StopIteration in the end.
MALFORMED = (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError)
# LiteLLM's names of functions that take apart what was asked, and of those that read what came back.
ASKING = re.compile(r"request|messages|prompt|schema|response_format|_params")
ANSWERING = re.compile(r"response|chunk")
DEEPEST_FRAMES = 8
SECRET_NAME = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)
SHORTEST_SECRET = 8
LONGEST_MESSAGE = 2000


def refuse(error: openai.OpenAIError | ApiError, params: Mapping[str, Any]) -> ApiError:
    """The refusal that the hot lane gets. `params` are the deployment's: what is secret of them is not repeated."""
    if isinstance(error, ApiError):
        return error
    original = getattr(error, "original_exception", None)  # of a stream that broke
    if isinstance(original, openai.OpenAIError):
        error = original
    words = str(getattr(error, "message", "") or error)
    status, kind = _classify(error, words)
    if kind == UNREADABLE:
        return ApiError(status, kind, "the backend's answer cannot be translated")
    message = _clean(_words(words), params) or "the backend gave no reason"
    return ApiError(status, kind, message, retry_after_s=_retry_after(error))


def error_event(path: str, error: ApiError) -> bytes:
    """The end of a stream that fails after it has begun, in the words of its API."""
    said: dict[str, Any]
    if path == "/messages":
        said = {"type": "error", "error": {"type": _anthropic_type(error.status), "message": error.message}}
        return b"event: error\ndata: " + orjson.dumps(said) + b"\n\n"
    if path == "/responses":
        said = {"type": "error", "code": error.kind, "message": error.message, "param": error.param}
        return b"event: error\ndata: " + orjson.dumps(said) + b"\n\n"
    return b"data: " + orjson.dumps(error_body(error.status, error.kind, error.message, error.param)) + b"\n\n"


def _classify(error: openai.OpenAIError, words: str) -> tuple[int, str]:
    for said, meaning in SAID.items():
        if said in words:
            return meaning
    name, status, causes = type(error).__name__, getattr(error, "status_code", None), list(_causes(error))
    if name in KINDS and name != UNCLEAR:
        return KINDS[name]
    if any(isinstance(cause, OSError) or _is_transport(cause) for cause in causes):
        return KINDS[UNCLEAR]
    if causes and isinstance(causes[-1], MALFORMED):
        return (502, UNREADABLE) if _reads_answer(causes) else (400, "invalid_request")
    if causes and type(causes[-1]) is Exception and _find_telling(causes) == "asked":  # LiteLLM's own word for it
        return 400, "invalid_request"
    if name == UNCLEAR or not isinstance(status, int) or status < 400:
        return KINDS[UNCLEAR]
    return status, f"upstream_{status}"


def _reads_answer(causes: Sequence[BaseException]) -> bool:
    """LiteLLM failed at what came back, not at what was asked; JSON that nobody owns to have read came back."""
    return (_find_telling(causes) or ("answered" if isinstance(causes[-1], StopIteration) else "asked")) == "answered"


def _find_telling(causes: Sequence[BaseException]) -> str:
    """Which of the two it failed at, as the names of its own functions tell, the innermost first; empty: none does."""
    for cause in reversed(causes):
        for frame in reversed(traceback.extract_tb(cause.__traceback__)[-DEEPEST_FRAMES:]):
            if ASKING.search(frame.name):
                return "asked"
            if ANSWERING.search(frame.name):
                return "answered"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return iter(seen[1:])


def _is_transport(error: BaseException) -> bool:
    """Whether a client for HTTP says that there was no answer, or no whole one."""
    return any(parent.__name__ in NO_ANSWER for parent in type(error).__mro__)


def _words(text: str) -> str:
    """The provider's own message, without what LiteLLM writes around it."""
    text = SUFFIX.sub("", QUOTED.sub("", text))
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        try:
            document = orjson.loads(text[start : end + 1])
        except ValueError:
            document = None
        error = document.get("error", document) if isinstance(document, dict) else None
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            return str(error["message"])
    return PREFIX.sub("", text, count=1)


def _clean(text: str, params: Mapping[str, Any]) -> str:
    for name, value in params.items():
        if isinstance(value, str) and len(value) >= SHORTEST_SECRET and SECRET_NAME.search(name):
            text = text.replace(value, "[SECRET]")
    return text[:LONGEST_MESSAGE]


def _retry_after(error: openai.OpenAIError) -> float | None:
    response = getattr(error, "response", None)
    for headers in (getattr(error, "litellm_response_headers", None), getattr(response, "headers", None)):
        try:
            return max(0.0, float((headers or {})["retry-after"]))
        except (KeyError, ValueError):
            continue
    return None


def _anthropic_type(status: int) -> str:
    return {429: "rate_limit_error", 529: "overloaded_error", 504: "timeout_error"}.get(status, "api_error")
