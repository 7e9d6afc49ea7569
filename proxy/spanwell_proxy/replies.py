"""What goes back to the client: headers, a completion, a stream, an error. Nothing else sends."""

import time

from spanwell.pricing import write_usd
from spanwell_proxy.call import Call
from spanwell_proxy.failures import ApiError

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"


async def reply(call: Call, status: int, body: bytes, content_type: bytes = JSON, *extra: tuple[bytes, bytes]) -> None:
    """One whole answer."""
    headers = [*_headers(call, content_type), (b"content-length", b"%d" % len(body)), *extra]
    if call.cost_usd is not None:
        headers.append((b"x-spanwell-cost-usd", write_usd(call.cost_usd).encode()))
    call.status, call.replied, call.answered = status, True, True
    await call.send({"type": "http.response.start", "status": status, "headers": headers})
    await call.send({"type": "http.response.body", "body": body})
    call.ended = time.perf_counter()


async def reply_error(call: Call, error: ApiError) -> None:
    """In the shape the API's clients know; inside a stream that has begun an event, after which the stream ends."""
    if call.replied:
        call.answered = True
        if call.api.error_event:  # else the connection breaks off, which is the one way to say that bytes are missing
            await send_part(call, call.api.error_event(error), last=True)
        return
    retry_after = [] if error.retry_after_s is None else [(b"retry-after", b"%d" % (error.retry_after_s + 0.999))]
    await reply(call, error.status, error.to_json(call.api.dialect), JSON, *retry_after)


async def begin_stream(call: Call) -> None:
    call.status, call.replied = 200, True
    headers = [*_headers(call, call.media_type or EVENT_STREAM), (b"cache-control", b"no-cache")]
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})


async def send_part(call: Call, data: bytes, *, last: bool = False) -> None:
    """One piece of a stream that has begun."""
    call.answered = last
    await call.send({"type": "http.response.body", "body": data, "more_body": not last})
    if last:
        call.ended = time.perf_counter()


def _headers(call: Call, content_type: bytes) -> list[tuple[bytes, bytes]]:
    call.overhead_s = time.perf_counter() - call.started - call.waited_s
    headers = [
        (b"content-type", content_type),
        (b"x-request-id", call.request_id.encode()),
        (b"traceparent", call.traceparent),
        (b"x-spanwell-overhead-ms", b"%.3f" % (call.overhead_s * 1000)),
    ]
    if call.limited:
        headers.extend(call.limited.headers)
    if call.api.dialect == "anthropic":
        headers.append((b"request-id", call.request_id.encode()))  # where its clients look
    if call.cache:
        headers.append((b"x-spanwell-cache", call.cache.encode()))
    return headers
