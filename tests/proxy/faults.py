"""What the bad backend can do, each fault a few lines: first those of connections and HTTP, then those of an API."""

import asyncio
import gzip
import json

from tests.proxy.bad_backend import CHUNKED, CLOSE, FAULTS, JSON, OPENING, SSE, Exchange, fault, refusal

__all__ = ["FAULTS"]

SLOW_S = 0.03


@fault("well")
async def _(it: Exchange) -> None:
    if not it.streams:
        await it.answer(it.whole())
        return
    await it.begin(CHUNKED)
    await it.chunks(*it.events())


# --- connections


@fault("reset before the answer")
async def _(it: Exchange) -> None:
    it.reset()


@fault("close before the answer")
async def _(it: Exchange) -> None:
    it.close()


@fault("hang before the headers")
async def _(it: Exchange) -> None:
    await it.stay()


@fault("hang inside the headers")
async def _(it: Exchange) -> None:
    await it.send(b"HTTP/1.1 200 OK\r\ncontent-ty")
    await it.stay()


@fault("hang after the headers")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    await it.stay()


@fault("stall after the role")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    await it.chunks(it.opened(), end=False)
    await it.stay()


@fault("stall midway")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    await it.chunks(it.begun(), end=False)
    await it.stay()


@fault("slow loris")
async def _(it: Exchange) -> None:
    """A byte now and then, and never an end."""
    await it.begin(CHUNKED)
    await it.chunks(it.begun(), end=False)
    while not it.writer.is_closing():
        await it.chunks(b":" if it.streams else b" ", end=False)
        await asyncio.sleep(SLOW_S)
    it.close()


@fault("reset midway")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    await it.chunks(it.begun(), end=False)
    await asyncio.sleep(SLOW_S)
    it.reset()


@fault("close midway")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    await it.chunks(it.begun(), end=False)
    await asyncio.sleep(SLOW_S)
    it.close()


@fault("close after the role")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    await it.chunks(it.opened(), end=False)
    it.close()


@fault("reset after the last word")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    await it.chunks(it.said(), end=not it.streams)
    await asyncio.sleep(SLOW_S)
    it.reset()


@fault("hang after the last word")
async def _(it: Exchange) -> None:
    """Of a stream: every choice has ended, but the usage and the last line do not come."""
    await it.begin(CHUNKED)
    await it.chunks(*_until_finished(it), end=not it.streams)
    await it.stay()


@fault("keep-alive gone stale")
async def _(it: Exchange) -> None:
    """The second request of a connection finds it closed."""
    if it.number == 2:
        it.close()
    else:
        await it.answer(it.said())


# --- framing


@fault("http/1.0")
async def _(it: Exchange) -> None:
    await it.answer(it.said(), version=b"1.0")
    it.close()


@fault("ended by closing")
async def _(it: Exchange) -> None:
    await it.begin(CLOSE)
    await it.send(it.said())
    it.close()


@fault("http/1.0, ended by closing")
async def _(it: Exchange) -> None:
    await it.begin(version=b"1.0")
    await it.send(it.said())
    it.close()


@fault("ended by closing, cut short")
async def _(it: Exchange) -> None:
    await it.begin(CLOSE)
    await it.send(it.begun())
    it.close()


@fault("http/1.0, cut short")
async def _(it: Exchange) -> None:
    await it.begin(version=b"1.0")
    await it.send(it.begun())
    it.close()


@fault("length too long")
async def _(it: Exchange) -> None:
    await it.begin(b"content-length: 1000000")
    await it.send(it.begun())
    it.close()


@fault("length too short")
async def _(it: Exchange) -> None:
    await it.begin(b"content-length: %d" % len(it.begun()))
    await it.send(it.said())
    it.close()


@fault("length and chunked")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED, b"content-length: 10")
    await it.chunks(it.said())


@fault("two lengths")
async def _(it: Exchange) -> None:
    await it.begin(b"content-length: 10", b"content-length: 20")
    await it.send(it.said())
    it.close()


@fault("no number as length")
async def _(it: Exchange) -> None:
    await it.begin(b"content-length: -1")
    await it.send(it.said())
    it.close()


@fault("unknown coding")
async def _(it: Exchange) -> None:
    await it.begin(b"transfer-encoding: gzip")
    await it.send(it.said())
    it.close()


@fault("bad chunk size")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    await it.send(b"xyz\r\n" + it.said())
    it.close()


@fault("bad chunk size midway")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    await it.chunks(it.begun(), end=False)
    await it.send(b"xyz\r\n")
    it.close()


@fault("gzip that nobody asked for")
async def _(it: Exchange) -> None:
    await it.answer(gzip.compress(it.said()), it.kind, b"content-encoding: gzip")


@fault("huge headers")
async def _(it: Exchange) -> None:
    await it.answer(it.said(), it.kind, b"x: " + b"y" * 70_000)


@fault("many headers")
async def _(it: Exchange) -> None:
    await it.answer(it.said(), it.kind, *(b"x-%d: %s" % (at, b"y" * 100) for at in range(1000)))


@fault("headers without an end")
async def _(it: Exchange) -> None:
    await it.send(b"HTTP/1.1 200 OK\r\n" + b"x" * 300_000)
    await it.stay()


@fault("huge trailers")
async def _(it: Exchange) -> None:
    await it.begin(CHUNKED)
    await it.chunks(it.begun(), end=False)
    await it.send(b"0\r\n" + b"x: " + b"y" * 70_000 + b"\r\n\r\n")
    await it.stay()


@fault("continue and early hints")
async def _(it: Exchange) -> None:
    await it.send(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    await it.answer(it.said())


@fault("hints without an end")
async def _(it: Exchange) -> None:
    while not it.writer.is_closing():
        await it.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 1000)
        await asyncio.sleep(0)
    it.close()


@fault("another protocol")
async def _(it: Exchange) -> None:
    await it.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
    await it.stay()


@fault("no http at all")
async def _(it: Exchange) -> None:
    await it.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    await it.stay()


@fault("more after the end")
async def _(it: Exchange) -> None:
    body = it.said()
    await it.send(b"HTTP/1.1 200 OK\r\n%s\r\ncontent-length: %d\r\n\r\n%s<garbage>" % (it.kind, len(body), body))


@fault("two answers")
async def _(it: Exchange) -> None:
    body = it.said()
    one = b"HTTP/1.1 200 OK\r\n%s\r\ncontent-length: %d\r\n\r\n%s" % (it.kind, len(body), body)
    await it.send(one + b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno")


@fault("lines that end in a line feed alone")
async def _(it: Exchange) -> None:
    await it.send(b"HTTP/1.1 200 OK\nx: y\ncontent-length: 2\n\n{}")
    await it.stay()


# --- statuses


def status(name: str, line: bytes, body: bytes, *headers: bytes) -> None:
    async def answer(it: Exchange) -> None:
        await it.answer(body, JSON, *headers, status=line)

    fault(name)(answer)


HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
status("400", b"400 Bad Request", refusal(400))
status("401", b"401 Unauthorized", refusal(401))
status("402", b"402 Payment Required", refusal(402))
status("403", b"403 Forbidden", refusal(403))
status("404", b"404 Not Found", refusal(404))
status("404 of the route", b"404 Not Found", b'{"detail":"Not Found"}')
status("408", b"408 Request Timeout", refusal(408))
status("413", b"413 Payload Too Large", refusal(413))
status("422", b"422 Unprocessable Entity", refusal(422))
status("429", b"429 Too Many Requests", refusal(429))
status("429, again at once", b"429 Too Many Requests", refusal(429), b"retry-after: 0")
status("429, again in two minutes", b"429 Too Many Requests", refusal(429), b"retry-after: 120")
status("429, again at no time", b"429 Too Many Requests", refusal(429), b"retry-after: soon")
status("500", b"500 Internal Server Error", refusal(500))
status("500 without words", b"500 Internal Server Error", b"")
status("502 as a page", b"502 Bad Gateway", HTML)
status("503", b"503 Service Unavailable", refusal(503))
status("503, again in two minutes", b"503 Service Unavailable", b"{}", b"retry-after: 120")
status("504", b"504 Gateway Timeout", HTML)
status("529", b"529 Overloaded", refusal(529))
status("status 799", b"799 What", b"{}")
status("redirect", b"302 Found", b"", b"location: http://127.0.0.1:1/v1/elsewhere")
status("redirect of a post", b"307 Temporary Redirect", b"", b"location: /v1/elsewhere")
status("nothing to say", b"204 No Content", b"")


@fault("500 whose words never come")
async def _(it: Exchange) -> None:
    await it.send(b"HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\n{")
    await it.stay()


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


def _until_finished(it: Exchange) -> list[bytes]:
    if not it.streams:
        return [it.whole()]
    kept = it.events("no usage")
    return [event for event in kept if b"[DONE]" not in event and b"message_stop" not in event]


# --- what takes its time


@fault("slow")
async def _(it: Exchange) -> None:
    await asyncio.sleep(0.4)
    await FAULTS["well"](it)


@fault("slower")
async def _(it: Exchange) -> None:
    await asyncio.sleep(1.0)
    await FAULTS["well"](it)


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
