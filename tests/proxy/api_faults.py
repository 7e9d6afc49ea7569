"""What the bad backend can do in the words of its API: what a 200 holds, events, time. With all faults there are."""

import asyncio
import json

from tests.proxy.bad_backend import CHUNKED, FAULTS, JSON, OPENING, SSE, Exchange, fault, refusal
from tests.proxy.faults import HTML, SLOW_S

__all__ = ["FAULTS"]


# --- what a 200 holds


def body(name: str, whole: bytes, *headers: bytes) -> None:
    async def answer(it: Exchange) -> None:
        await it.answer(whole, *(headers or (it.kind,)))

    fault(name)(answer)


body("empty", b"")
body("white space", b" \r\n\r\n ")
body("a page", HTML, b"content-type: text/html")
body("a page that calls itself json", HTML, JSON)
body("half a document", b'{"id": "x", "choices": [{"index": 0, "mess', JSON)
body("no object", b"[1, 2, 3]", JSON)
body("null", b"null", JSON)
body("another object", b'{"object": "list", "data": "x"}', JSON)
body("no utf-8", b'{"id": "\xff\xfe\xfd"}', JSON)
body("a deep document", b'{"choices":' + b"[" * 100_000, JSON)
body("an error as an answer", refusal(500), JSON)
body("an error 429 as an answer", refusal(429), JSON)
body("an error 400 as an answer", refusal(400), JSON)


@fault("another content type")
async def _(it: Exchange) -> None:
    await it.answer(it.said(), b"content-type: text/plain")


@fault("the other content type")
async def _(it: Exchange) -> None:
    await it.answer(it.said(), JSON if it.streams else SSE)


@fault("no content type")
async def _(it: Exchange) -> None:
    await it.answer(it.said(), b"server: x")


@fault("whole though a stream was asked for")
async def _(it: Exchange) -> None:
    await it.answer(it.whole(), JSON)


@fault("longer than any answer")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    while not it.writer.is_closing():
        await it.chunks(b"data: " + b"x" * 100_000 if it.streams else b'{"x":"' + b"x" * 100_000, end=False)
        await asyncio.sleep(0)
    it.close()


# --- events


def stream(name: str, *first: bytes, after_a_word: bool) -> None:
    """`first` is sent instead of what would come, or instead of what comes after the first word."""

    async def answer(it: Exchange) -> None:
        await it.begin(CHUNKED)
        if after_a_word:
            await it.chunks(it.begun(), end=False)
            await asyncio.sleep(SLOW_S)
        await it.chunks(*first)

    fault(name)(answer)


BROKEN = b"data: {broken\n\n"
ERROR = b"data: " + refusal(500, "engine died") + b"\n\n"
TOO_MANY = b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}\n\n'
stream("garbage", BROKEN, after_a_word=False)
stream("garbage midway", BROKEN, after_a_word=True)
stream("an error first", ERROR, after_a_word=False)
stream("an error midway", ERROR, after_a_word=True)
stream("an event of an error midway", TOO_MANY, after_a_word=True)
stream("done at once", b"data: [DONE]\n\n", after_a_word=False)
stream("comments alone", b": ping\n\n", b": ping\n\n", after_a_word=False)


@fault("cut at every byte")
async def _(it: Exchange) -> None:
    said = it.said()
    await it.begin(CHUNKED)
    await it.chunks(*(said[at : at + 1] for at in range(len(said))))


@fault("all in one piece")
async def _(it: Exchange) -> None:
    await it.answer(it.said())


@fault("carriage returns")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    await it.chunks(*(event.replace(b"\n", b"\r\n") for event in (it.events() if it.streams else [it.whole()])))


@fault("carriage returns, cut at every byte")
async def _(it: Exchange) -> None:
    said = it.said().replace(b"\n", b"\r\n")
    await it.begin(CHUNKED)
    await it.chunks(*(said[at : at + 1] for at in range(len(said))))


@fault("pings and comments")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    if it.streams:
        await it.chunks(*(b": ping\n\nretry: 100\n\n" + event + b":\n\n" for event in it.events()))
    else:
        await it.chunks(b" \n", it.whole(), b" \n")


@fault("no done")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    await it.chunks(*(event for event in it.events() if b"[DONE]" not in event)) if it.streams else await it.chunks(
        it.whole()
    )


@fault("done twice")
async def _(it: Exchange) -> None:
    await it.answer(it.said() + (it.events()[-1] if it.streams else b""))


@fault("more after done")
async def _(it: Exchange) -> None:
    await it.answer(it.said() + (b"data: {garbage\n\n" if it.streams else b"\n"))


@fault("no last line")
async def _(it: Exchange) -> None:
    await it.answer(it.said().rstrip())


@fault("usage nowhere")
async def _(it: Exchange) -> None:
    if it.streams:
        await it.answer(b"".join(map(_without_usage, it.events("no usage"))))
    else:
        document = json.loads(it.whole())
        document["usage"] = None
        await it.answer(json.dumps(document).encode())


@fault("usage in every chunk")
async def _(it: Exchange) -> None:
    await it.answer(it.said("usage everywhere"))


@fault("usage with the last word")
async def _(it: Exchange) -> None:
    await it.answer(it.said("usage at finish"))


@fault("usage in every chunk, cut short")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    first = it.events("usage everywhere")[: OPENING[it.path] + 1] if it.streams else [it.begun()]
    await it.chunks(b"".join(first), end=False)
    await asyncio.sleep(SLOW_S)
    it.close()


def _without_usage(event: bytes) -> bytes:
    lines = []
    for line in event.rstrip().split(b"\n"):
        if line.startswith(b"data: {"):
            document = json.loads(line[6:])
            for holder in (document, document.get("message") or {}, document.get("response") or {}):
                holder.pop("usage", None)
            line = b"data: " + json.dumps(document).encode()
        lines.append(line)
    return b"\n".join(lines) + b"\n\n"


# --- what takes its time


@fault("slow")
async def _(it: Exchange) -> None:
    await asyncio.sleep(0.4)
    await FAULTS["well"](it)


@fault("slower")
async def _(it: Exchange) -> None:
    await asyncio.sleep(1.0)
    await FAULTS["well"](it)


@fault("words without an end")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    while not it.writer.is_closing():
        await it.chunks(it.begun() * 100, end=False)
        await asyncio.sleep(0)
    it.left = True
    it.close()


@fault("slow, then a stall")
async def _(it: Exchange) -> None:
    await asyncio.sleep(0.2)
    await FAULTS["stall midway"](it)


@fault("two words, then a close")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    for event in it.events()[: OPENING[it.path] + 2]:
        await it.chunks(event, end=False)
        await asyncio.sleep(SLOW_S)
    it.close()


@fault("too long for it")
async def _(it: Exchange) -> None:
    words = b"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"
    error = b'{"error":{"message":"%s","type":"BadRequestError","param":null,"code":400}}' % words
    await it.answer(error, JSON, status=b"400 Bad Request")


@fault("against its policy")
async def _(it: Exchange) -> None:
    error = b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"content_policy_violation"}}'
    await it.answer(error, JSON, status=b"400 Bad Request")
