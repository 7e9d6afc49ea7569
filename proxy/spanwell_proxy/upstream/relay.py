"""One attempt at one backend: send, relay what comes, note what it used. Everything that goes wrong is an ApiError."""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import orjson

from spanwell.pricing import cost_usd
from spanwell_proxy.apis.api import BrokenAnswerError, Reader
from spanwell_proxy.apis.usage import estimate_usage, find_tier, read_service_tier
from spanwell_proxy.body import rewrite
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.errand import write_errand
from spanwell_proxy.failures import ApiError
from spanwell_proxy.replies import EVENT_STREAM, begin_stream, reply, send_part
from spanwell_proxy.upstream.client import Answer, Client, clean, read_failure, request_headers

DRAIN_S = 1.0


async def attempt(call: Call, tried: Attempt, client: Client) -> None:
    """Get an answer from a deployment to the client, whole. Raises ApiError, retryable as long as nothing was sent."""
    deployment, began, waited_s = tried.deployment, tried.started, call.waited_s
    call.reader = None
    body = _write(call, deployment)
    try:
        async with asyncio.timeout(deployment.first_byte_timeout_s if call.stream else deployment.timeout_s) as limit:
            answer = await client.post(deployment, call.api, request_headers(call, tried), body)
            try:
                tried.status = answer.status
                await _relay(call, deployment, answer, began, limit)
            finally:
                answer.close()
    except TimeoutError as error:
        raise _failed(call, 504, "upstream_timeout", "did not answer in time", deployment) from error
    except OSError as error:
        told = "broke the connection" if call.replied else "cannot be reached"
        raise _failed(call, 502, "upstream_unreachable", told, deployment) from error
    except BrokenAnswerError as error:
        raise _failed(
            call, 502, "upstream_broken_stream", f"failed: {clean(str(error), deployment)}", deployment
        ) from error
    finally:
        tried.ended = time.perf_counter()
        if not call.replied:
            call.waited_s = waited_s + tried.ended - began


def _write(call: Call, deployment: Deployment) -> bytes:
    request = rewrite(call, deployment)
    return write_errand(deployment, request) if deployment.is_translated(call.api) else orjson.dumps(request)


async def _relay(call: Call, deployment: Deployment, answer: Answer, began: float, limit: asyncio.Timeout) -> None:
    if not 200 <= answer.status < 300:
        raise read_failure(deployment, answer.status, answer.header("Retry-After"), await answer.read())
    if call.stream and answer.header("Content-Type").startswith("text/event-stream"):
        await _relay_stream(call, deployment, answer, began, limit)
        return
    body = await answer.read()
    call.waited_s += time.perf_counter() - began
    call.document, call.answer = call.api.read(body), body
    account(call, deployment)
    if call.stream:
        # A backend that cannot stream answers whole; the client gets the events it asked for.
        call.ttft_s = time.perf_counter() - call.started
        await reply(call, 200, _as_stream(call), EVENT_STREAM)
        call.stream_end = "done"
    else:
        await reply(call, 200, body)


async def _relay_stream(
    call: Call, deployment: Deployment, answer: Answer, began: float, limit: asyncio.Timeout
) -> None:
    reader = call.reader = _open_reader(call)
    while True:
        data = await answer.read_some()
        part = reader.feed(data) if data else reader.finish()
        if not call.replied and part:
            limit.reschedule(_limit_end(limit, deployment))
            call.waited_s += time.perf_counter() - began
            await begin_stream(call)
        if call.ttft_s is None and reader.content_chunks:
            call.ttft_s = time.perf_counter() - call.started
        if reader.done or not data:
            break
        if part:
            await send_part(call, part)
    if not reader.complete:
        raise BrokenAnswerError("the stream ended before the answer did")
    call.stream_end = "done"
    account(call, deployment)
    await send_part(call, part, last=True)
    if reader.done:
        await _drain(answer)


def _open_reader(call: Call) -> Reader:
    if call.api.open_reader is None:
        raise BrokenAnswerError("the backend streams what was not asked for as a stream")
    return call.api.open_reader(call.request)


def _as_stream(call: Call) -> bytes:
    return call.api.as_stream(call.document, call.request) if call.api.as_stream and call.document else b""


async def _drain(answer: Answer) -> None:
    """Read the body's end, so that the connection can be used again. The call is over: a backend may do as it likes."""
    with suppress(OSError):  # a timeout is one
        async with asyncio.timeout(DRAIN_S):
            while await answer.read_some():
                pass


def _limit_end(limit: asyncio.Timeout, deployment: Deployment) -> float:
    """The first byte has come in time: from now on the limit of the whole answer holds, in seconds of the loop."""
    return (limit.when() or 0.0) + deployment.timeout_s - deployment.first_byte_timeout_s


def account(call: Call, deployment: Deployment) -> None:
    """Tokens as the backend reported them, else guessed and marked so; and what they cost."""
    reader, document = call.reader, call.document
    call.usage = reader.usage if reader else call.api.usage(document) if document else None
    if call.usage is None:
        chunks = reader.content_chunks if reader else 0
        call.usage, call.usage_estimated = estimate_usage(len(call.body), chunks, len(call.answer)), True
    elif reader and reader.usage_is_partial:
        said = max(call.usage.output, reader.content_chunks)
        call.usage, call.usage_estimated = replace(call.usage, output=said), True
    answer = document or {}
    answered, tier = (reader.model, reader.service_tier) if reader else (answer.get("model"), find_tier(answer))
    call.service_tier = read_service_tier(tier, call.request.get("service_tier"))
    began = datetime.fromtimestamp(call.started_ns / 1e9, UTC)
    call.price = deployment.find_price(began, str(answered or ""))
    if call.price:
        call.cost_usd = cost_usd(call.usage, call.price, service_tier=call.service_tier, at=began)


def _failed(call: Call, status: int, kind: str, told: str, deployment: Deployment) -> ApiError:
    return ApiError(status, kind, f"the backend of {deployment.model_name!r} {told}", retryable=not call.replied)
