"""One call on its way through the proxy: what was asked, by whom, and what became of it."""

import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from spanwell.conventions import HEADER_REQUEST_ID, CacheVerdict
from spanwell.pricing import Price, Usage
from spanwell_proxy.failures import ApiError
from spanwell_proxy.routes import Deployment
from spanwell_proxy.stream import StreamReader

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
StreamEnd = Literal["", "done", "upstream_error", "client_disconnect"]

TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:\-]{1,128}")
NO_TRACE, NO_SPAN = bytes(16), bytes(8)


@dataclass(frozen=True)
class Budget:
    """At most `limit_pusd` picodollars (1e-12 US dollars, so that sums are whole numbers) in each `period`."""

    period: Literal["hour", "day", "month", "total"]
    limit_pusd: int


@dataclass(frozen=True)
class Caller:
    """Who calls. `models` empty means any; the operator holds the master key, or nobody asks for keys at all."""

    key_id: str = ""
    team: str = ""
    user: str = ""
    models: frozenset[str] = frozenset()
    budgets: tuple[Budget, ...] = ()
    expires_at: float | None = None  # seconds since 1970
    metadata: Mapping[str, Any] = field(default_factory=dict)
    operator: bool = False


NOBODY = Caller()


@dataclass(slots=True, eq=False)
class Call:
    """Filled in step by step; when it ends, the telemetry makes one span of it. Times in seconds of perf_counter."""

    receive: Receive
    send: Send
    headers: Mapping[bytes, bytes]
    started_ns: int  # since 1970
    started: float
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    flags: bytes
    request_id: str

    caller: Caller | None = None
    body: bytes = b""
    request: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    stream: bool = False
    wants_usage: bool = False
    app: str = ""
    user: str = ""
    session: str = ""
    purpose: str = ""
    reservation: str = ""
    cache_key: bytes = b""
    leads: bool = False  # others that ask the same wait for this call

    deployment: Deployment | None = None
    tried: list[str] = field(default_factory=list)
    waited_s: float = 0.0  # for the body, for backends, and for the pauses between attempts
    overhead_s: float = 0.0  # until the answer began, less the wait
    status: int = 0
    replied: bool = False  # the first byte of an answer has left
    answered: bool = False  # the last one has
    gone: bool = False  # the client left before that
    failure: ApiError | None = None
    answer: bytes = b""
    completion: dict[str, Any] | None = None
    reader: StreamReader | None = None
    ttft_s: float | None = None
    ended: float = 0.0
    stream_end: StreamEnd = ""
    usage: Usage | None = None
    usage_estimated: bool = False
    service_tier: str = ""
    price: Price | None = None  # that `cost_usd` was charged by
    cost_usd: Decimal | None = None
    saved_usd: Decimal | None = None
    cache: CacheVerdict = ""

    @property
    def traceparent(self) -> bytes:
        """What tells the backend, and the client, which span this is."""
        return b"00-%s-%s-%s" % (self.trace_id.hex().encode(), self.span_id.hex().encode(), self.flags)

    @property
    def size_bytes(self) -> int:
        """About what the telemetry queue holds while this waits in it."""
        return len(self.body) + len(self.answer) + (self.reader.content_chunks * 64 if self.reader else 0)


def begin_call(headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> Call:
    """A call that has just arrived, part of the caller's trace if it names one."""
    started_ns, started, entropy = time.time_ns(), time.perf_counter(), os.urandom(40)
    parent = TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
    given_id = headers.get(HEADER_REQUEST_ID.encode(), b"")
    trace_id, parent_id, flags = entropy[:16], b"", b"01"
    if parent and int(parent[1], 16) and int(parent[2], 16):
        trace_id, parent_id, flags = bytes.fromhex(parent[1].decode()), bytes.fromhex(parent[2].decode()), parent[3]
    return Call(
        receive=receive,
        send=send,
        headers=headers,
        started_ns=started_ns,
        started=started,
        trace_id=trace_id,
        span_id=entropy[16:24],
        parent_id=parent_id,
        flags=flags,
        request_id=given_id.decode() if REQUEST_ID.fullmatch(given_id) else entropy[24:].hex(),
    )
