"""Requests that call no model: which models there are, and the responses that backends keep."""

from collections.abc import MutableMapping
from typing import Any

from spanwell_proxy.apis.responses import RESPONSES
from spanwell_proxy.call import Receive, Send, begin_call
from spanwell_proxy.gateway import Gateway
from spanwell_proxy.serving.models import find_model, show_models
from spanwell_proxy.steps import authenticate
from spanwell_proxy.stored.looking import answer_look, read_look


async def answer_look_up(scope: MutableMapping[str, Any], receive: Receive, send: Send, gateway: Gateway) -> bool:
    """False where the request is for something else."""
    method, path = scope["method"], scope["path"]
    if method == "GET" and (name := find_model(path)) is not None:
        await show_models(name, dict(scope["headers"]), receive, send, gateway)
        return True
    if look := read_look(method, path, scope["query_string"]):
        call = begin_call(RESPONSES, dict(scope["headers"]), receive, send)
        await answer_look(call, look, gateway, lambda: authenticate(call, gateway))
        return True
    return False
