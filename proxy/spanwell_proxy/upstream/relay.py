"""Takes an answer that has begun to the client, to its end."""

import time
from collections.abc import Awaitable, Callable

import orjson

from spanwell_proxy.apis.api import BrokenAnswerError, Reader
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.pace import Pace
from spanwell_proxy.replies import EVENT_STREAM, JSON, begin_stream, reply, send_part
from spanwell_proxy.upstream.accounting import charge
from spanwell_proxy.upstream.client import Answer
from spanwell_proxy.upstream.fetching import Arrival, Patience, explain

AFTERWORD_S = 5.0  # for the usage and the last line, once every choice has ended


async def relay(call: Call, tried: Attempt, arrival: Arrival) -> None:
    """Raises ApiError where the stream breaks: `call.reader` and the client have what came before."""
    try:
        if call.api.is_opaque and call.guarded and call.guarded.wait:
            await _wait_for_guards(call.guarded.wait, arrival)
        if arrival.reader:
            call.reader = arrival.reader
            await _relay_stream(call, tried, arrival, arrival.reader)
        else:
            await _relay_whole(call, tried, arrival)
    finally:
        tried.ended = time.perf_counter()


async def _wait_for_guards(wait: Callable[[], Awaitable[None]], arrival: Arrival) -> None:
    try:
        await wait()
    except BaseException:
        if arrival.reader:  # a whole answer has given its connection back
            arrival.answer.close()
        raise


async def _relay_whole(call: Call, tried: Attempt, arrival: Arrival) -> None:
    call.document, call.answer = arrival.document, arrival.body
    charge(call, tried)
    if call.guarded and call.guarded.check_answer and call.document is not None and not call.api.is_opaque:
        call.document = await call.guarded.check_answer(call.document)
        if call.document is not arrival.document:
            call.answer = orjson.dumps(call.document)
    if call.stream and call.api.as_stream:
        # A backend that cannot stream answers whole; the client gets the events it asked for.
        call.ttft_s = time.perf_counter() - call.started
        call.stream_end = "done"
        await reply(call, 200, _as_stream(call), EVENT_STREAM)
    elif call.api.is_opaque:
        await reply(call, 200, arrival.body, call.media_type)
    else:
        await reply(call, 200, call.answer, JSON)


async def _relay_stream(call: Call, tried: Attempt, arrival: Arrival, reader: Reader) -> None:
    answer, part, ended, guarded = arrival.answer, arrival.held, arrival.ended, call.guarded
    try:
        if guarded and guarded.begin_stream and not call.api.is_opaque:
            reader, part = guarded.begin_stream(reader, part, ended)
            call.reader = reader
        while True:
            if reader.content_chunks:
                _note_content(call, tried, reader.content_chunks)
            if ended or reader.done:
                break
            if part:
                await _send(call, part)
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
    charge(call, tried)
    if guarded and guarded.finish_stream:
        part += await guarded.finish_stream()
    call.stream_end = "done"
    await _send(call, part, last=True)


async def _send(call: Call, part: bytes, *, last: bool = False) -> None:
    if not call.replied:  # a stream that is continued has begun, and one that guards hold back has not
        await begin_stream(call)
    await send_part(call, part, last=last)


def _note_content(call: Call, tried: Attempt, chunks: int) -> None:
    now = time.perf_counter()
    if call.pace:
        call.pace.note(now, chunks)
    else:
        call.pace, call.ttft_s = Pace(now, chunks), now - call.started
        tried.ttft_s = tried.ttft_s or now - tried.started


async def _read_on(answer: Answer, reader: Reader, patience: Patience) -> bytes:
    """The next piece; empty at the end, or where nothing is missing and nothing more comes."""
    now = time.monotonic()
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
