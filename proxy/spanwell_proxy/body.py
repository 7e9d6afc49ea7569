"""The request body: read within a bound, checked, and rewritten for a backend."""

import asyncio
from typing import Any

import orjson

from spanwell_proxy.apis.forms import is_form, read_fields, read_form
from spanwell_proxy.call import Call
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.failures import CLIENT_GONE, ApiError, bad_request
from spanwell_proxy.inflate import inflate
from spanwell_proxy.naming import LONGEST_NAME, OWN_METADATA, name_call

LONGEST_BODY_BYTES = 32 * 1024 * 1024  # images travel inside
DEEPEST = 200  # brackets in a body, below which it cannot be nested deeper than orjson writes

# Where a call goes, with which key and through which hooks is configuration: LiteLLM's proxy once took these from
# the body (CVE-2024-6587), and clients still send them.
# fmt: off
FORBIDDEN = frozenset((
    "api_base", "api_key", "api_type", "api_version", "base_url", "cache", "caching", "callbacks",
    "custom_llm_provider", "deployment_id", "extra_body", "extra_headers", "extra_query", "failure_callback",
    "fallbacks", "guardrails", "headers", "input_cost_per_token", "litellm_metadata", "litellm_params",
    "litellm_session_id", "litellm_trace_id",
    "max_retries", "mock_response", "mock_tool_calls", "model_info", "model_list", "num_retries", "organization",
    "output_cost_per_token", "proxy_server_request", "request_timeout", "success_callback", "timeout", "user_config",
    "vertex_credentials", "vertex_location", "vertex_project",
))
# fmt: on


async def read_body(call: Call) -> bytes:
    """The whole body. Raises ApiError 413 at the bound, and when the client leaves before it is whole."""
    message = await call.receive()
    body: bytes = message.get("body", b"")
    parts, size = [body], len(body)
    while message.get("more_body"):
        if size > LONGEST_BODY_BYTES:
            break
        message = await call.receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if message["type"] == "http.disconnect":
        raise ApiError(499, CLIENT_GONE, "the client left before its request was whole")
    if size > LONGEST_BODY_BYTES:
        raise ApiError(413, "body_too_large", f"the body is larger than {LONGEST_BODY_BYTES} bytes")
    whole = b"".join(parts) if len(parts) > 1 else body
    encoding = call.headers.get(b"content-encoding")
    # In a thread: what a few bytes may unfold to would hold up the other calls.
    return (
        await asyncio.to_thread(inflate, whole, encoding.decode("latin-1"), LONGEST_BODY_BYTES) if encoding else whole
    )


def parse_body(call: Call) -> None:
    """Check what the proxy itself relies on, and fill the call in. Backends check the rest. Raises ApiError 400."""
    try:
        request = _read_request(call)
    except ApiError:
        name_call(call, {})
        raise
    model = call.path_model or request.get("model") or call.default_model
    # Noted before it is judged: a call that is refused is a span too.
    call.request = request
    call.model = model[:LONGEST_NAME] if isinstance(model, str) else ""
    call.stream = call.api.open_reader is not None and (call.api.always_streams or request.get("stream") is True)
    name_call(call, request)
    if not call.model:
        raise bad_request("you must name a model", "model")
    call.api.check(request)
    if call.body.count(b"[") + call.body.count(b"{") > DEEPEST:
        _check_depth(request)


def _read_request(call: Call) -> dict[str, Any]:
    if call.api.takes_form:
        return _read_fields(call)
    return _read_unknown(call) if call.api.is_passthrough else _read_object(call.body)


def _read_unknown(call: Call) -> dict[str, Any]:
    """The fields of a body that is a form or an object of JSON; none of another one, which goes on as it is."""
    content_type = call.headers.get(b"content-type", b"application/json").decode("latin-1")
    if is_form(content_type):
        call.form = read_form(call.body, content_type)
        return read_fields(call.form)
    return _read_object(call.body) if call.body and "json" in content_type.lower() else {}


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(body)
    except ValueError as error:
        raise bad_request(f"the body is not valid JSON: {error}", None) from error
    if not isinstance(request, dict):
        raise bad_request("the body must be a JSON object", None)
    return request


def _read_fields(call: Call) -> dict[str, Any]:
    content_type = call.headers.get(b"content-type", b"").decode("latin-1")
    if not is_form(content_type):
        raise ApiError(415, "unsupported_media_type", "send the request as multipart/form-data")
    call.form = read_form(call.body, content_type)
    fields = read_fields(call.form)
    return fields | {"stream": fields.get("stream") == "true"}


def rewrite(call: Call, deployment: Deployment) -> dict[str, Any]:
    """What the backend gets: its own name for the model, usage asked for, and nothing that is configuration."""
    request = {key: value for key, value in call.request.items() if key not in FORBIDDEN}
    if deployment.defaults or deployment.dropped:
        asked = {**deployment.defaults, **request}
        request = {key: value for key, value in asked.items() if key not in deployment.dropped}
    if "model" in request or not call.api.is_passthrough:
        request["model"] = deployment.model
    call.api.prepare(request)
    if call.api.is_passthrough:
        return request
    metadata = request.get("metadata")
    if isinstance(metadata, dict):
        kept = call.api.kept_metadata
        request["metadata"] = {key: said for key, said in metadata.items() if key in kept or key not in OWN_METADATA}
    if "metadata" in request and not request["metadata"]:
        del request["metadata"]
    return request


def _check_depth(request: dict[str, Any]) -> None:
    # orjson reads deeper than it writes, and what was read has to be written to a backend.
    try:
        orjson.dumps(request)
    except TypeError as error:
        raise bad_request("the body is nested too deeply", None) from error
