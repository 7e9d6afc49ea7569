"""`/v1/models` and `/v1/models/{id}`: what the caller may ask for, in the shape its client expects."""

from typing import Any

import orjson

from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.apis.messages import MESSAGES
from spanwell_proxy.apis.paths import strip_prefix
from spanwell_proxy.call import Call, Receive, Send, begin_call
from spanwell_proxy.failures import ApiError
from spanwell_proxy.gateway import Gateway
from spanwell_proxy.replies import reply, reply_error
from spanwell_proxy.steps import authenticate

MODELS = "/models"
SINCE = "1970-01-01T00:00:00Z"  # Anthropic's clients want a date, and a model's is not known


def find_model(path: str) -> str | None:
    """The id that a path asks for, "" for the list of all; None where it asks for neither."""
    rest = strip_prefix(path)
    if rest != MODELS and not rest.startswith(MODELS + "/"):
        return None
    return rest[len(MODELS) + 1 :]


async def show_models(name: str, headers: dict[bytes, bytes], receive: Receive, send: Send, gateway: Gateway) -> None:
    """Answer with one model, or with all if `name` is empty."""
    call = begin_call(MESSAGES if b"anthropic-version" in headers else CHAT, headers, receive, send)
    try:
        await authenticate(call, gateway)
        shown = _show(call, gateway, name) if name else _list(call, gateway)
    except ApiError as error:
        await reply_error(call, error)
        return
    await reply(call, 200, orjson.dumps(shown))


def _list(call: Call, gateway: Gateway) -> dict[str, Any]:
    routes = gateway.routes
    names = [*routes.deployments, *gateway.unions, *routes.aliases]
    listed = [name for name in dict.fromkeys(names) if name not in routes.hidden and _may_use(call, name)]
    models = [_describe(call, gateway, name) for name in listed]
    if call.api.dialect == "openai":
        return {"object": "list", "data": models}
    ends = {"first_id": listed[0], "last_id": listed[-1]} if listed else {"first_id": None, "last_id": None}
    return {"data": models, "has_more": False, **ends}


def _show(call: Call, gateway: Gateway, name: str) -> dict[str, Any]:
    if not gateway.find_group(name) or not _may_use(call, name):  # one that may not be used is not told apart
        raise ApiError(404, "model_not_found", f"the model {name!r} does not exist", param="model")
    return _describe(call, gateway, name)


def _may_use(call: Call, name: str) -> bool:
    return call.caller is None or call.caller.may_use(name)


def _describe(call: Call, gateway: Gateway, name: str) -> dict[str, Any]:
    if call.api.dialect == "anthropic":
        return {"type": "model", "id": name, "display_name": name, "created_at": SINCE}
    group = gateway.find_group(name)
    owner = group[0].deployment.provider if group else ""
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}
