"""Relays what no module here knows, under `/v1/`, to a deployment that speaks OpenAI's dialect.

A POST that names a model is a call like any other, with a span, limits and further attempts. All else, such as looking
at a fine-tuning job, is asked once of the deployment it names in a header, or of the first there is.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any, Final

import orjson

from spanwell.known_secrets import mask_known
from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.apis.passthrough import is_for_operators, is_passable, make_passthrough
from spanwell_proxy.body import FORBIDDEN, read_body
from spanwell_proxy.call import Call, Receive, Send, begin_call
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.failures import ApiError
from spanwell_proxy.gateway import Gateway
from spanwell_proxy.replies import begin_stream, reply, reply_error, send_part
from spanwell_proxy.steps import authenticate
from spanwell_proxy.upstream.client import Answer
from spanwell_proxy.upstream.refusals import read_failure
from spanwell_proxy.upstream.wire import Limits

PREFIX: Final = "/v1"
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
OURS: Final = ("files", "batches", "models")  # what is at home here, and not at any backend
LONGEST_LOOKED_AT: Final = 1024 * 1024
HEADER_MODEL: Final = "x-spanwell-model"


def find_passthrough(method: str, path: str) -> str | None:
    """The path at a backend; None where the request is not for one."""
    rest = path.removeprefix(PREFIX).rstrip("/")
    if method not in METHODS or not path.startswith(PREFIX + "/") or not is_passable(rest):
        return None
    return None if rest.split("/")[1] in OURS else rest


async def begin_passthrough(
    path: str, scope: MutableMapping[str, Any], receive: Receive, send: Send, gateway: Gateway
) -> Call | None:
    """A call to be taken through the steps; None where it has been answered here."""
    call = begin_call(make_passthrough(path), dict(scope["headers"]), receive, send)
    try:
        await authenticate(call, gateway)
        if is_for_operators(path) and not (call.caller and call.caller.operator):
            raise ApiError(403, "not_allowed", f"{path} is for whoever holds the master key")
        call.body = await read_body(call)
        if scope["method"] == "POST" and _names_model(call.body):
            call.receive = _again(call.body)
            return call
        await _relay(call, scope["method"], path, scope["query_string"], gateway)
    except ApiError as failure:
        await reply_error(call, failure)
    call.answered = True
    return None


def _names_model(body: bytes) -> bool:
    request = _read_object(body)
    return request is not None and isinstance(request.get("model"), str)


def _read_object(body: bytes) -> dict[str, Any] | None:
    try:
        request = orjson.loads(body)
    except ValueError:
        return None
    return request if isinstance(request, dict) else None


def _again(body: bytes) -> Receive:
    """A body that was read already, to be read by the steps."""
    waiting = [body]

    async def receive() -> MutableMapping[str, Any]:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    return receive


async def _relay(call: Call, method: str, path: str, query: bytes, gateway: Gateway) -> None:
    deployment = _choose(call, gateway)
    whole = path + ("?" + query.decode("latin-1") if query else "")
    body, kind = _clean(call.body), call.headers.get(b"content-type", b"").decode("latin-1")
    try:
        async with asyncio.timeout(deployment.timeout_s):
            answer = await gateway.client.send(deployment, method, whole, Limits(), body=body, content_type=kind)
            try:
                await _pass_on(call, deployment, answer)
            finally:
                answer.close()
    except TimeoutError as error:
        raise ApiError(504, "upstream_timeout", "the backend did not answer in time") from error
    except OSError as error:
        raise ApiError(502, "upstream_unreachable", "the backend cannot be reached") from error


def _choose(call: Call, gateway: Gateway) -> Deployment:
    """The deployment of the model that a header names, else the first of all that the caller may use."""
    named = call.headers.get(HEADER_MODEL.encode(), b"").decode("latin-1")
    for name in [named] if named else gateway.routes.deployments:
        for candidate in gateway.find_group(name) if call.caller and call.caller.may_use(name) else ():
            if not candidate.deployment.is_translated(CHAT):
                return candidate.deployment
    told = f"no model that this key may use has a backend for it; name one in {HEADER_MODEL}"
    raise ApiError(404, "not_found", told, param=HEADER_MODEL)


def _clean(body: bytes) -> bytes:
    """Without what would steer a backend."""
    request = _read_object(body)
    if request is None or FORBIDDEN.isdisjoint(request):
        return body
    return orjson.dumps({key: value for key, value in request.items() if key not in FORBIDDEN})


def _hide_key(body: bytes, deployment: Deployment) -> bytes:
    """A path that nobody here knows may be one that tells what it was called with."""
    if not deployment.api_key or not body.isascii() or len(body) > LONGEST_LOOKED_AT:
        return body
    return mask_known(body.decode(), deployment.api_key).encode()


async def _pass_on(call: Call, deployment: Deployment, answer: Answer) -> None:
    if not 200 <= answer.status < 300:
        raise read_failure(deployment, call.api.dialect, answer, await answer.read())
    kind = answer.header("Content-Type") or "application/octet-stream"
    if not kind.startswith("text/event-stream"):
        await reply(call, answer.status, _hide_key(await answer.read(), deployment), kind.encode("latin-1"))
        return
    await begin_stream(call)
    while data := await answer.read_some():
        await send_part(call, _hide_key(data, deployment))
    await send_part(call, b"", last=True)
