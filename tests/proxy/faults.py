"""What the bad backend can do below its API, each fault a few lines: connections, framing, statuses."""

import asyncio
import gzip

from tests.proxy.bad_backend import CHUNKED, CLOSE, JSON, Exchange, fault, refusal

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


def _until_finished(it: Exchange) -> list[bytes]:
    if not it.streams:
        return [it.whole()]
    kept = it.events("no usage")
    return [event for event in kept if b"[DONE]" not in event and b"message_stop" not in event]
