"""Relays what no module here knows, under `/v1/`, to a deployment that speaks OpenAI's dialect.

A POST is a call like any other, with a span, limits and further attempts, of the model that it, or a header, names, or
of the first there is. All else, such as looking at a fine-tuning job, is asked once. A key reaches by its id what it
has made itself; what shows or changes what others made is for the master key.
"""

import asyncio
import re
from collections.abc import MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

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
from spanwell_proxy.stored.origins import Origin
from spanwell_proxy.stored.steps import find_own
from spanwell_proxy.upstream.client import Answer, join_query
from spanwell_proxy.upstream.refusals import read_failure
from spanwell_proxy.upstream.wire import Limits

PREFIX: Final = "/v1"
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
OURS: Final = ("files", "batches", "models")  # what is at home here, and not at any backend
LONGEST_LOOKED_AT: Final = 1024 * 1024
ID: Final = re.compile(r"(?=.*\d).{10,}")
HEADER_MODEL: Final = "x-spanwell-model"
WORDS: Final = ("application/json", "text/")  # types that are looked into; others go on piece by piece


def find_passthrough(method: str, path: str) -> str | None:
    """The path at a backend; None where the request is not for one."""
    rest = path.removeprefix(PREFIX).rstrip("/")
    if method not in METHODS or not path.startswith(PREFIX + "/") or not is_passable(rest):
        return None
    return None if rest.split("/")[1].lower() in OURS else rest


async def begin_passthrough(
    path: str, scope: MutableMapping[str, Any], receive: Receive, send: Send, gateway: Gateway
) -> Call | None:
    """A call to be taken through the steps; None where it has been answered here."""
    whole = path + _clean_query(scope["query_string"])
    call = begin_call(make_passthrough(whole), dict(scope["headers"]), receive, send)
    try:
        await authenticate(call, gateway)
        is_operator = call.caller is not None and call.caller.operator
        if is_for_operators(path) and not is_operator:
            raise ApiError(403, "not_allowed", f"{path} is for whoever holds the master key")
        origin = await _find_origin(call, path, gateway)
        if scope["method"] == "POST":
            _direct(call, origin, gateway)
            return call
        if origin is None and not is_operator:
            told = f"{scope['method']} {path} may show or change what others made: it is for the master key"
            raise ApiError(403, "not_allowed", told)
        call.body = await read_body(call)
        await _relay(call, scope["method"], whole, _choose(call, origin, gateway), gateway)
    except ApiError as failure:
        await reply_error(call, failure)
    call.answered = True
    return None


def _clean_query(query: bytes) -> str:
    """Without what would steer a backend."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    kept = urlencode([pair for pair in pairs if pair[0].lower().replace("-", "_") not in FORBIDDEN])
    return kept and "?" + kept


async def _find_origin(call: Call, path: str, gateway: Gateway) -> Origin | None:
    """Where the thing that the path names by an id was made. Raises ApiError 404 where the caller has not made it."""
    ids = [segment for segment in path.split("/")[2:] if ID.fullmatch(segment)]
    found: Origin | None = None
    for thing in ids:
        own = await find_own(call, gateway, thing)
        if own is None and not (call.caller and call.caller.operator):
            if found:  # a part of what is the caller's own
                continue
            raise ApiError(404, "not_found", f"nothing of yours is known by {thing[:100]!r}")
        found = found or own
    return found


def _direct(call: Call, origin: Origin | None, gateway: Gateway) -> None:
    """Of which model it is a call, where its body does not say."""
    if origin:
        call.default_model, call.pinned = origin.model, origin.deployment
        return
    call.path_model = call.headers.get(HEADER_MODEL.encode(), b"").decode("latin-1")
    if not call.path_model and (first := _find_first(call, gateway, *gateway.routes.deployments)):
        call.default_model = first.model_name


def _choose(call: Call, origin: Origin | None, gateway: Gateway) -> Deployment:
    """The deployment that made it, else that of the model which a header names, else the first of all."""
    if origin:
        for candidate in gateway.find_group(origin.model):
            if candidate.deployment.id == origin.deployment:
                return candidate.deployment
    named = call.headers.get(HEADER_MODEL.encode(), b"").decode("latin-1")
    if first := _find_first(call, gateway, *((named,) if named else gateway.routes.deployments)):
        return first
    told = f"no model that this key may use has a backend for it; name one in {HEADER_MODEL}"
    raise ApiError(404, "not_found", told, param=HEADER_MODEL)


def _find_first(call: Call, gateway: Gateway, *names: str) -> Deployment | None:
    """Of those models that the caller may use, the first that a backend of OpenAI's dialect has."""
    for name in names:
        for candidate in gateway.find_group(name) if call.caller and call.caller.may_use(name) else ():
            if not candidate.deployment.is_translated(CHAT):
                return candidate.deployment
    return None


async def _relay(call: Call, method: str, path: str, deployment: Deployment, gateway: Gateway) -> None:
    whole = join_query(path, deployment.url.query)
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


def _clean(body: bytes) -> bytes:
    """Without what would steer a backend."""
    try:
        request = orjson.loads(body)
    except ValueError:
        return body
    if not isinstance(request, dict) or FORBIDDEN.isdisjoint(request):
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
    is_stream = kind.startswith("text/event-stream") or (answer.status == 200 and not kind.startswith(WORDS))
    if not is_stream:
        await reply(call, answer.status, _hide_key(await answer.read(), deployment), kind.encode("latin-1"))
        return
    call.media_type = kind.encode("latin-1")
    await begin_stream(call)
    while data := await answer.read_some():
        await send_part(call, _hide_key(data, deployment))
    await send_part(call, b"", last=True)
