"""The one way a call fails: a status and a body in OpenAI's or Anthropic's shape, and the word its span carries."""

from typing import Any, Final

import orjson

from spanwell.errors import SpanwellError

CLIENT_GONE: Final = "client_disconnect"
GUARD_FAILED: Final = "guard_failed"  # through no fault of a backend
GUARD_ASKS_AGAIN: Final = "guard_asks_again"  # the same model may do better, now that it was told

# OpenAI's words for `error.type`; a status that is not here is the gateway's or the backend's own trouble.
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
}

# Anthropic's, likewise.
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
ANTHROPIC_KINDS = frozenset(ANTHROPIC_TYPES.values()) | {"api_error"}


class ApiError(SpanwellError):
    """A call that cannot be answered. `kind` becomes `error.type` on the span; `retryable` means another try may help.

    `body` is an upstream's own error, already in OpenAI's shape and masked: it goes to the client as it is.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        param: str | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
        body: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.param = param
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.body = body

    def to_json(self, dialect: str = "openai") -> bytes:
        """The body of the answer, in the shape that the clients of an API expect."""
        if dialect == "anthropic":
            return orjson.dumps(write_anthropic_error(self))
        return orjson.dumps(self.body or error_body(self.status, self.kind, self.message, self.param))


def error_body(status: int, kind: str, message: str, param: str | None = None) -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}`, which every OpenAI client understands."""
    return {"error": {"message": message, "type": TYPES.get(status, "api_error"), "param": param, "code": kind}}


def write_anthropic_error(error: ApiError) -> dict[str, Any]:
    """`{"type": "error", "error": {"type", "message"}}`, which every Anthropic client understands."""
    told = (error.body or {}).get("error")
    said = told if isinstance(told, dict) else {}
    kind = said.get("type")
    return {
        "type": "error",
        "error": {
            "type": kind if kind in ANTHROPIC_KINDS else ANTHROPIC_TYPES.get(error.status, "api_error"),
            "message": said.get("message") or error.message,
        },
    }


def bad_request(message: str, param: str | None) -> ApiError:
    """400: the client's own mistake, with the field it made it in."""
    return ApiError(400, "invalid_request", message, param=param)
