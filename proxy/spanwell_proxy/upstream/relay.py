"""Takes an answer that has begun to the client, to its end."""

import asyncio
import time

from spanwell_proxy.apis.api import BrokenAnswerError, Reader
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.replies import EVENT_STREAM, JSON, begin_stream, reply, send_part
from spanwell_proxy.upstream.accounting import charge
from spanwell_proxy.upstream.client import Answer
from spanwell_proxy.upstream.fetching import Arrival, Patience, explain

AFTERWORD_S = 5.0  # for the usage and the last line, once every choice has ended


async def relay(call: Call, tried: Attempt, arrival: Arrival) -> None:
    """Raises ApiError where the stream breaks: `call.reader` and the client have what came before."""
    try:
        if arrival.reader:
            call.reader = arrival.reader
            await _relay_stream(call, tried, arrival, arrival.reader)
        else:
            await _relay_whole(call, tried, arrival)
    finally:
        tried.ended = time.perf_counter()


async def _relay_whole(call: Call, tried: Attempt, arrival: Arrival) -> None:
    call.document, call.answer = arrival.document, arrival.body
    charge(call, tried)
    if call.stream:
        # A backend that cannot stream answers whole; the client gets the events it asked for.
        call.ttft_s = time.perf_counter() - call.started
        call.stream_end = "done"
        await reply(call, 200, _as_stream(call), EVENT_STREAM)
    elif call.api.is_opaque:
        kind = arrival.answer.header("Content-Type") or "application/octet-stream"
        await reply(call, 200, arrival.body, kind.encode("latin-1"))
    else:
        await reply(call, 200, arrival.body, JSON)


async def _relay_stream(call: Call, tried: Attempt, arrival: Arrival, reader: Reader) -> None:
    answer, part, ended = arrival.answer, arrival.held, arrival.ended
    if not call.replied:  # a stream that is continued has begun
        await begin_stream(call)
    try:
        while True:
            if call.ttft_s is None and reader.content_chunks:
                call.ttft_s = time.perf_counter() - call.started
                tried.ttft_s = tried.ttft_s or time.perf_counter() - tried.started
            if ended or reader.done:
                break
            if part:
                await send_part(call, part)
            data = await _read_on(answer, reader, arrival.patience)
            part, ended = reader.feed(data) if data else reader.finish(), not data
        if not reader.complete:
            raise BrokenAnswerError("the stream ended before the answer did")
    except (OSError, BrokenAnswerError) as error:
        answer.close()
        raise explain(error, tried, "go on", retryable=False) from error
    except BaseException:
        answer.close()
        raise
    answer.leave()
    call.stream_end = "done"
    charge(call, tried)
    await send_part(call, part, last=True)


async def _read_on(answer: Answer, reader: Reader, patience: Patience) -> bytes:
    """The next piece; empty at the end, or where nothing is missing and nothing more comes."""
    now = asyncio.get_running_loop().time()
    if not reader.content_chunks and not reader.complete:
        return await answer.read_some(min(patience.content_by, patience.whole_by))
    if not reader.complete:
        if now >= patience.whole_by:
            raise TimeoutError
        return await answer.read_some(min(now + patience.chunk_s, patience.whole_by))
    try:
        return await answer.read_some(min(now + AFTERWORD_S, patience.whole_by))
    except OSError:  # a timeout is one
        return b""


def _as_stream(call: Call) -> bytes:
    return call.api.as_stream(call.document, call.request) if call.api.as_stream and call.document else b""
