"""One call on its way through the proxy: what was asked, by whom, and what became of it."""

import os
import re
import time
from binascii import hexlify
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from spanwell.conventions import HEADER_REQUEST_ID, CacheVerdict
from spanwell.pricing import Price, Usage
from spanwell_proxy.apis.api import Api, Document, Reader
from spanwell_proxy.apis.forms import Part, count_text_bytes
from spanwell_proxy.caller import Caller
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.failures import ApiError
from spanwell_proxy.guarded import Guarded
from spanwell_proxy.limited import Limited
from spanwell_proxy.pace import Pace
from spanwell_proxy.routing.asked import NOTHING_ASKED, Asked, Assignment
from spanwell_proxy.routing.choosing import Decision
from spanwell_proxy.routing.experiments import Joined

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
StreamEnd = Literal["", "done", "upstream_error", "client_disconnect"]
Why = Literal["first", "retry", "fallback", "hedge", "continuation"]

TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:\-]{1,128}")
DRAWN_BYTES = 4000
REQUEST_ID_HEADER = HEADER_REQUEST_ID.encode()


@dataclass(slots=True, eq=False)
class Attempt:
    """One request to one backend. Times in seconds of perf_counter."""

    deployment: Deployment
    why: Why
    span_id: bytes
    started: float
    ended: float = 0.0
    status: int = 0  # of the backend's answer; 0 where none came
    failure: ApiError | None = None
    ttft_s: float | None = None  # from its own start to the first content
    usage: Usage | None = None
    usage_estimated: bool = False
    cost_usd: Decimal | None = None


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
    api: Api
    pinned: str = ""  # id of the only deployment that can answer: it keeps what the request goes on with
    path_model: str = ""  # that the path names, in Azure's manner: it goes before the body's
    default_model: str = ""  # asked where neither names one, at paths that only backends know

    caller: Caller | None = None
    body: bytes = b""
    request: dict[str, Any] = field(default_factory=dict)
    form: tuple[Part, ...] = ()  # the fields of a request that came as a form
    media_type: bytes = b""  # of an answer that goes on as it comes
    model: str = ""
    stream: bool = False
    app: str = ""
    user: str = ""
    session: str = ""
    purpose: str = ""
    tags: tuple[str, ...] = ()
    tier: str = ""  # of the user
    release: str = ""
    prompt_name: str = ""
    prompt_version: str = ""
    limited: Limited | None = None  # what its limits are, and what it took of them
    guarded: Guarded | None = None  # what guards found, and what they still have to look at
    cache_key: bytes = b""
    leads: bool = False  # others that ask the same wait for this call

    deployment: Deployment | None = None
    target: str = ""  # the model name whose deployments answer: the one asked for, or that of an experiment's arm
    asked: Asked = NOTHING_ASKED  # what routing knows of the request
    joined: Joined | None = None  # the experiment that the call is part of
    copied: Assignment | None = None  # this is a shadow copy of another call
    decision: Decision | None = None  # why that deployment: of the last attempt
    attempts: list[Attempt] = field(default_factory=list)
    queue_wait_s: float = 0.0  # until its deployments had room
    upstream_s: float = 0.0  # for backends until the answer began, pauses between attempts included
    continued: bool = False  # the stream broke, and another attempt went on with it
    waited_s: float = 0.0  # for the body, for backends, and for the pauses between attempts
    overhead_s: float = 0.0  # until the answer began, less the wait
    status: int = 0
    replied: bool = False  # the first byte of an answer has left
    answered: bool = False  # the last one has
    gone: bool = False  # the client left before that
    failure: ApiError | None = None
    answer: bytes = b""
    document: Document | None = None  # the answer, where it came whole
    reader: Reader | None = None  # of the answer, where it streams
    ttft_s: float | None = None
    pace: Pace | None = None  # of its chunks, where it streams
    ended: float = 0.0
    stream_end: StreamEnd = ""
    usage: Usage | None = None
    usage_estimated: bool = False
    service_tier: str = ""
    price: Price | None = None  # that `cost_usd` was charged by
    cost_usd: Decimal | None = None
    saved_usd: Decimal | None = None
    cache: CacheVerdict = ""
    cache_ttl_s: float | None = None  # how long the answer is kept, where the request says so
    cache_type: Literal["", "exact", "semantic"] = ""
    cache_similarity: float | None = None
    meaning: Any = None  # what was asked, to the semantic cache
    cache_matched: str = ""  # trace id of the call whose answer it was
    saved_ms: float | None = None

    @property
    def traceparent(self) -> bytes:
        """What tells the client which span this is."""
        return self.trace_to(self.span_id)

    def trace_to(self, span_id: bytes) -> bytes:
        """The `traceparent` of a span of this trace."""
        return b"00-%b-%b-%b" % (hexlify(self.trace_id), hexlify(span_id), self.flags)

    def told(self, key: Literal["id", "model"]) -> str:
        """What the backend's answer calls itself, or the model that gave it; empty where it does not say."""
        said = getattr(self.reader, key) if self.reader else (self.document or {}).get(key)
        return said if isinstance(said, str) else ""

    @property
    def text_bytes(self) -> int:
        """About how much text was sent, whatever came beside it."""
        return count_text_bytes(self.form) if self.form else len(self.body)

    @property
    def size_bytes(self) -> int:
        """About what the telemetry queue holds while this waits in it."""
        return len(self.body) + len(self.answer) + (self.reader.content_chunks * 64 if self.reader else 0)


def begin_call(api: Api, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> Call:
    """A call that has just arrived, part of the caller's trace if it names one."""
    started_ns, started, entropy = time.time_ns(), time.perf_counter(), _draw(40)
    trace_id, parent_id, flags = _read_parent(headers.get(b"traceparent")) or (entropy[:16], b"", b"01")
    given_id = headers.get(REQUEST_ID_HEADER)
    named = given_id is not None and REQUEST_ID.fullmatch(given_id)
    request_id = given_id.decode() if given_id and named else entropy[24:].hex()
    return Call(
        receive, send, headers, started_ns, started, trace_id, entropy[16:24], parent_id, flags, request_id, api
    )


class _Entropy:
    """The kernel's random bytes, asked for many at once: every system call costs more than it takes itself."""

    def __init__(self) -> None:
        self._drawn, self._at = b"", 0

    def draw(self, count: int) -> bytes:
        if self._at + count > len(self._drawn):
            self._drawn, self._at = os.urandom(DRAWN_BYTES), 0
        self._at += count
        return self._drawn[self._at - count : self._at]


_draw = _Entropy().draw


def _read_parent(traceparent: bytes | None) -> tuple[bytes, bytes, bytes] | None:
    """Trace id, span id and flags; None where no span is named."""
    named = TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if named is None or not int(named[1], 16) or not int(named[2], 16):
        return None
    return bytes.fromhex(named[1].decode()), bytes.fromhex(named[2].decode()), named[3]
