"""One attempt, until its answer has begun: whole, or the first content of a stream. The client has seen nothing yet.

Everything that goes wrong is an ApiError. What a stream sends before it says anything is held back, so that another
attempt can take its place unseen.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from spanwell_proxy.apis.api import BrokenAnswerError, Document, Reader
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.failures import ApiError
from spanwell_proxy.upstream.accounting import charge_lost
from spanwell_proxy.upstream.client import Answer, Client
from spanwell_proxy.upstream.connection import NEVER
from spanwell_proxy.upstream.refusals import LONGEST_MESSAGE, RETRYABLE, clean, read_failure
from spanwell_proxy.upstream.settings import Knobs
from spanwell_proxy.upstream.wire import ConnectTimeoutError, Limits

REFUSAL_S: Final = 5.0  # for the words of a refusal
OCTETS: Final = b"application/octet-stream"
JSON_STARTS: Final = (b"{", b"[")


class Patience(NamedTuple):
    """How long one attempt may take. All but the spans are times of the monotonic clock, which is the loop's."""

    connect_s: float
    head_by: float
    content_by: float
    whole_by: float
    chunk_s: float
    hold_s: float


class Order(NamedTuple):
    """What one attempt sends, and who reads the stream that comes; None where none may."""

    body: bytes
    open_reader: Callable[[], Reader] | None
    content_type: str = "application/json"


class Arrival(NamedTuple):
    """An answer that has begun. A whole one has a `document`; a stream its `reader`, and what was `held` back of it."""

    answer: Answer
    at: float  # of perf_counter
    patience: Patience
    body: bytes = b""
    document: Document | None = None
    reader: Reader | None = None
    held: bytes = b""
    ended: bool = False


def be_patient(call: Call, deployment: Deployment, knobs: Knobs, left_s: float) -> Patience:
    """What the file says of time, within what is left of the call's own."""
    now = time.monotonic()
    whole_s = min(deployment.timeout_s, left_s)
    connect_s = min(knobs.connect_s, whole_s)
    if not call.stream:
        whole_by = now + whole_s
        return Patience(connect_s, whole_by, whole_by, whole_by, knobs.chunk_s, knobs.hold_s)
    first_s = min(deployment.first_byte_timeout_s, whole_s)
    head_s = min(knobs.first_byte_s or first_s, whole_s)
    content_s = min(knobs.first_content_s or first_s, whole_s)
    return Patience(min(connect_s, head_s), now + head_s, now + content_s, now + whole_s, knobs.chunk_s, knobs.hold_s)


async def fetch(call: Call, tried: Attempt, client: Client, order: Order, patience: Patience) -> Arrival:
    """Raises ApiError; the connection is given back or closed then, also when it is cancelled."""
    answer: Answer | None = None
    stage = "answer"
    try:
        limits = Limits(patience.connect_s, patience.head_by)
        answer = await client.post(call, tried, order.content_type, order.body, limits)
        tried.status = answer.status
        if not 200 <= answer.status < 300:
            raise read_failure(tried.deployment, call.api.dialect, answer, await _read_refusal(answer))
        if call.api.is_opaque:
            call.media_type = answer.header("Content-Type").encode("latin-1") or OCTETS
        stage = "say anything" if call.stream else "finish"
        if call.stream and order.open_reader:
            arrival = await _receive_stream(call, tried, answer, order.open_reader(), patience)
        else:
            arrival = await _receive_whole(call, answer, b"", patience)
    except BaseException as error:
        tried.ended = time.perf_counter()
        if answer:
            answer.close()
        if isinstance(error, OSError | BrokenAnswerError):
            raise explain(error, tried, stage, retryable=True) from error
        raise
    return arrival


def explain(error: OSError | BrokenAnswerError, tried: Attempt, stage: str, *, retryable: bool) -> ApiError:
    """What went wrong with an attempt that should have done `stage`, in the caller's words."""
    deployment = tried.deployment
    who, took_s = f"the backend of {deployment.model_name!r}", time.perf_counter() - tried.started
    if isinstance(error, BrokenAnswerError):
        retryable = retryable and (error.status >= 500 or error.status in RETRYABLE)
        told = f"{who} failed: {clean(str(error), deployment)[:LONGEST_MESSAGE]}"
        return ApiError(error.status, "upstream_broken_stream", told, retryable=retryable)
    if isinstance(error, ConnectTimeoutError):
        return ApiError(504, "upstream_timeout", f"{who} took no connection in {took_s:.3g} s", retryable=retryable)
    if isinstance(error, TimeoutError):
        return ApiError(504, "upstream_timeout", f"{who} did not {stage} in {took_s:.3g} s", retryable=retryable)
    if not tried.status:
        told = f"{who} cannot be reached, or does not answer as HTTP: {_reason(error)}"
        return ApiError(502, "upstream_unreachable", told, retryable=retryable)
    return ApiError(502, "upstream_unreachable", f"{who} broke the connection: {_reason(error)}", retryable=retryable)


async def _read_refusal(answer: Answer) -> bytes:
    """Its status says enough, should the words not come."""
    try:
        return await answer.read(time.monotonic() + REFUSAL_S)
    except OSError:  # a timeout is one
        return b""


async def _receive_whole(call: Call, answer: Answer, begun: bytes, patience: Patience) -> Arrival:
    body = begun + await answer.read(patience.whole_by)
    at = time.perf_counter()
    document = call.api.read(body)
    answer.close()
    return Arrival(answer, at, patience, body, document)


async def _receive_stream(call: Call, tried: Attempt, answer: Answer, reader: Reader, patience: Patience) -> Arrival:
    """A backend that cannot stream answers whole: what it sends tells, whatever it calls it."""
    held: list[bytes] = []
    hold_by, data = NEVER, b""
    try:
        data = await _read_start(call, answer, patience.content_by)
        if _is_whole(call, data):
            return await _receive_whole(call, answer, data, patience)
        while True:
            part = reader.feed(data) if data else reader.finish()
            if part:
                held.append(part)
                hold_by = min(hold_by, time.monotonic() + patience.hold_s)
            if reader.content_chunks or reader.done or not data or time.monotonic() >= hold_by:
                break
            try:
                data = await answer.read_some(min(patience.content_by, hold_by))
            except TimeoutError:
                if time.monotonic() >= patience.content_by:
                    raise
                break
        if (not data and not reader.complete) or (reader.done and reader.document() is None):
            raise BrokenAnswerError("the stream ended before the answer did")
    except (OSError, BrokenAnswerError):
        charge_lost(call, tried, reader)
        raise
    at = time.perf_counter()
    if reader.content_chunks:
        tried.ttft_s = at - tried.started
    return Arrival(answer, at, patience, reader=reader, held=b"".join(held), ended=not data)


def _is_whole(call: Call, data: bytes) -> bool:
    """Whether what begins so is no stream of events; of bytes that are not looked into, their type tells."""
    if call.api.always_streams:
        return False
    if call.api.is_opaque:
        return not call.media_type.startswith(b"text/event-stream")
    return data.startswith(JSON_STARTS)


async def _read_start(call: Call, answer: Answer, until: float) -> bytes:
    """The first piece that is more than white space; of a sound, which is no text, just the first."""
    if call.api.is_opaque:
        return await answer.read_some(until)
    data = b""
    while part := await answer.read_some(until):
        data = (data + part).lstrip()
        if data:
            break
    return data


def _reason(error: OSError) -> str:
    return str(error.strerror or error or type(error).__name__)
