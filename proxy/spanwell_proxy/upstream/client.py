"""The HTTP client towards backends. What a backend may see of a request is written here and nowhere else."""

from functools import lru_cache
from typing import Final, Protocol

from spanwell_proxy.apis.api import Api
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.upstream.connection import NEVER
from spanwell_proxy.upstream.wire import UNLIMITED, Limits, Request, Wire, write_head

MOST_STARTS: Final = 1024


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

    async def post(self, call: Call, tried: Attempt, content_type: str, body: bytes, limits: Limits) -> Answer:
        """Send one attempt, and wait for the status and headers. Raises OSError where none can be had."""
        deployment, api = tried.deployment, call.api
        base = "unix:" + self._lane if deployment.is_translated(api) else deployment.url.origin
        own = tuple(api.relay_headers(call.headers).items()) if api.relay_headers else ()
        head = b"%bcontent-type: %b\r\nx-request-id: %b\r\ntraceparent: %b\r\n" % (
            _write_start(base, deployment, api, call.stream, own),
            content_type.encode("latin-1"),
            call.request_id.encode(),  # vLLM's response id and span carry it
            call.trace_to(tried.span_id),
        )
        if call.parent_id and b"tracestate" in call.headers:
            head += b"tracestate: %b\r\n" % call.headers[b"tracestate"]
        return await self._wire.send(Request(base, head, body), limits)

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
        origin = deployment.url.origin
        return await self._wire.send(
            Request(origin, write_head(origin, deployment.url.path + path, headers, method), body), limits
        )

    async def close(self) -> None:
        self._wire.close()


def join_query(path: str, query: str) -> str:
    """`query` begins with a question mark; `path` may have one of its own."""
    return path + (query.replace("?", "&", 1) if "?" in path else query)


@lru_cache(MOST_STARTS)
def _write_start(base: str, deployment: Deployment, api: Api, stream: bool, own: tuple[tuple[str, str], ...]) -> bytes:
    """Written anew for the backend, and the same for nearly all calls: what is not of one attempt alone.

    Of the client's own headers only those are in it that its API allows.
    """
    headers, path = (
        {"accept": "text/event-stream" if stream else "application/json", "user-agent": "spanwell"},
        api.path,
    )
    if not deployment.is_translated(api):
        headers |= deployment.headers
        path = deployment.url.path + join_query(path, deployment.url.query)
    return write_head(base, path, headers | dict(own))
