"""The body of one attempt, as its backend or the LiteLLM lane takes it."""

from functools import partial

import orjson

from spanwell_proxy.apis.api import Document
from spanwell_proxy.apis.events import EventReader
from spanwell_proxy.apis.forms import Part, write_form
from spanwell_proxy.body import FORBIDDEN, rewrite
from spanwell_proxy.call import Call
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.errand import write_errand
from spanwell_proxy.replies import JSON
from spanwell_proxy.upstream.continuing import ContinuingReader, find_first, go_on
from spanwell_proxy.upstream.fetching import Order


def write_order(call: Call, deployment: Deployment) -> Order:
    """What a deployment is asked."""
    opener = call.api.open_reader
    reading = partial(opener, call.request) if opener else None
    if call.form and not deployment.is_translated(call.api):
        content_type, body = write_form(_rewrite_form(call, deployment))
        return Order(body, reading, content_type)
    if call.api.is_passthrough and not call.request:
        return Order(call.body, reading, call.headers.get(b"content-type", JSON).decode("latin-1"))
    return Order(_write(call, deployment, None, 0), reading)


def write_continuation(call: Call, deployment: Deployment, first: EventReader, said: Document) -> Order:
    """The same, where another one has said the beginning."""
    first = find_first(first)
    body = _write(call, deployment, said, first.content_chunks)
    return Order(body, lambda: ContinuingReader(first))


def _write(call: Call, deployment: Deployment, said: Document | None, chunks: int) -> bytes:
    request = rewrite(call, deployment)
    if said is not None:
        request = go_on(request, said, chunks)
    if not deployment.is_translated(call.api):
        return orjson.dumps(request)
    return write_errand(deployment, request, call.form)


def _rewrite_form(call: Call, deployment: Deployment) -> tuple[Part, ...]:
    kept = tuple(part for part in call.form if part.name.removesuffix("[]") not in FORBIDDEN | {"model"})
    if call.api.is_passthrough and "model" not in call.request:
        return kept
    return Part("model", None, "", deployment.model.encode()), *kept
