"""`/v1/responses/{id}`: get, delete or cancel a response, or list what it was made of, where its backend keeps it."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl, urlencode

from spanwell_proxy.apis.paths import strip_prefix
from spanwell_proxy.apis.responses import RESPONSES
from spanwell_proxy.call import Call
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.failures import ApiError
from spanwell_proxy.replies import begin_stream, reply, reply_error, send_part
from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.stored.origins import Origins
from spanwell_proxy.stored.steps import find_own, not_found
from spanwell_proxy.upstream.client import Answer, Client
from spanwell_proxy.upstream.refusals import read_failure
from spanwell_proxy.upstream.wire import Limits

PATH = re.compile(r"/responses/([A-Za-z0-9_.:-]{1,256})(/cancel|/input_items)?")
METHODS = {"": ("GET", "DELETE"), "/cancel": ("POST",), "/input_items": ("GET",)}
QUERY = frozenset(
    ("after", "before", "include", "include[]", "include_obfuscation", "limit", "order", "starting_after", "stream")
)


class Look(NamedTuple):
    """What is wanted of a response; `rest` is what follows its id in the path."""

    method: str
    response_id: str
    rest: str
    query: str


NOWHERE = Look("", "", "", "")


class Keeper(Protocol):
    """What a look needs of the gateway."""

    @property
    def origins(self) -> Origins: ...

    @property
    def find_group(self) -> Callable[[str], tuple[Candidate, ...]]: ...

    @property
    def client(self) -> Client: ...


def read_look(method: str, path: str, query: bytes) -> Look | None:
    """None where the path is not below `/responses/`; one without an id where nothing there can be looked at so.

    That one must go to no backend either: whose response it is would not be asked.
    """
    rest = strip_prefix(path)
    if not rest.lower().startswith(RESPONSES.path + "/"):
        return None
    found = PATH.fullmatch(rest)
    if not found or method not in METHODS[found[2] or ""]:
        return NOWHERE
    kept = [pair for pair in parse_qsl(query.decode("latin-1")) if pair[0] in QUERY]
    return Look(method, found[1], found[2] or "", urlencode(kept))


async def answer_look(call: Call, look: Look, gateway: Keeper, authenticate: Callable[[], Awaitable[None]]) -> None:
    """With what the backend says. No span: no model is called."""
    try:
        await authenticate()
        deployment = await _find_deployment(call, look, gateway)
        await _relay(call, look, deployment, gateway.client)
    except ApiError as failure:
        await reply_error(call, failure)
    finally:
        call.answered = True


async def _find_deployment(call: Call, look: Look, gateway: Keeper) -> Deployment:
    if look is NOWHERE:
        raise ApiError(404, "not_found", "a response is at GET or DELETE /v1/responses/ID, /cancel and /input_items")
    origin = await find_own(call, gateway, look.response_id)
    group = gateway.find_group(origin.model) if origin else ()
    for candidate in group:
        if origin and candidate.deployment.id == origin.deployment:
            if candidate.deployment.is_translated(RESPONSES):
                break  # what was made of another API's answer, nobody keeps
            return candidate.deployment
    raise not_found(look.response_id, "response_id")


async def _relay(call: Call, look: Look, deployment: Deployment, client: Client) -> None:
    path = f"{RESPONSES.path}/{look.response_id}{look.rest}"
    own = deployment.url.query.removeprefix("?")
    query = "&".join(part for part in (own, look.query) if part)
    try:
        async with asyncio.timeout(deployment.timeout_s):
            answer = await client.send(deployment, look.method, path + (query and "?" + query), Limits())
            try:
                await _pass_on(call, deployment, answer)
            finally:
                answer.close()
    except TimeoutError as error:
        raise ApiError(504, "upstream_timeout", "the backend did not answer in time") from error
    except OSError as error:
        raise ApiError(502, "upstream_unreachable", "the backend cannot be reached") from error


async def _pass_on(call: Call, deployment: Deployment, answer: Answer) -> None:
    if not 200 <= answer.status < 300:
        raise read_failure(deployment, call.api.dialect, answer, await answer.read())
    if not answer.header("Content-Type").startswith("text/event-stream"):
        await reply(call, answer.status, await answer.read())
        return
    await begin_stream(call)
    while data := await answer.read_some():
        await send_part(call, data)
    await send_part(call, b"", last=True)
