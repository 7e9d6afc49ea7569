"""The HTTP client towards backends. What a backend may see of a request is written here and nowhere else."""

from collections.abc import Mapping
from typing import Protocol

from spanwell_proxy.apis.api import Api
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.upstream.connection import NEVER
from spanwell_proxy.upstream.wire import UNLIMITED, Limits, Request, Wire


class Answer(Protocol):
    """A backend's answer, its body not yet read. Reading raises OSError when the connection breaks."""

    @property
    def status(self) -> int: ...

    def header(self, name: str) -> str: ...

    async def read(self, until: float = NEVER) -> bytes: ...

    async def read_some(self, until: float = NEVER) -> bytes:
        """What has arrived; empty at the end. TimeoutError at `until`, a time of the loop's clock; may be repeated."""

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""

    def leave(self) -> None:
        """Give the connection back when the body has ended, if it does soon."""


class Client:
    """Connections to every backend. No redirect is followed, no cookie kept, no proxy variable read."""

    def __init__(self, lane: str = "") -> None:
        """`lane` is the unix socket of the LiteLLM lane."""
        self._lane = lane
        self._wire = Wire()

    async def post(
        self, deployment: Deployment, api: Api, headers: Mapping[str, str], body: bytes, limits: Limits = UNLIMITED
    ) -> Answer:
        """Send, and wait for the status and headers. Raises OSError where the backend cannot be reached."""
        if deployment.is_translated(api):
            return await self._wire.send(Request("unix:" + self._lane, api.path, headers, body), limits)
        path = deployment.url.path + join_query(api.path, deployment.url.query)
        return await self._wire.send(Request(deployment.url.origin, path, headers, body), limits)

    async def send(
        self,
        deployment: Deployment,
        method: str,
        path: str,
        limits: Limits = UNLIMITED,
        *,
        body: bytes = b"",
        content_type: str = "",
    ) -> Answer:
        """Ask for something that is no call of a model. `path` may end in a query."""
        headers = {"accept": "application/json", "user-agent": "spanwell", **deployment.headers}
        headers |= {"content-type": content_type} if content_type else {}
        whole = deployment.url.path + path
        return await self._wire.send(Request(deployment.url.origin, whole, headers, body, method), limits)

    async def close(self) -> None:
        self._wire.close()


def join_query(path: str, query: str) -> str:
    """`query` begins with a question mark; `path` may have one of its own."""
    return path + (query.replace("?", "&", 1) if "?" in path else query)


def request_headers(call: Call, tried: Attempt) -> dict[str, str]:
    """Written anew for the backend: of the client's own headers, only the trace and what its API allows go on."""
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream" if call.stream else "application/json",
        "user-agent": "spanwell",
        "x-request-id": call.request_id,  # vLLM's response id and span carry it
        "traceparent": call.trace_to(tried.span_id).decode(),
    }
    if not tried.deployment.is_translated(call.api):
        headers.update(tried.deployment.headers)
    if call.api.relay_headers:
        headers.update(call.api.relay_headers(call.headers))
    if call.parent_id and b"tracestate" in call.headers:
        headers["tracestate"] = call.headers[b"tracestate"].decode("latin-1")
    return headers
