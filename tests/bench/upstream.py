"""A backend that costs next to nothing: OpenAI's chat completions, answered from bytes made at start.

`python -m tests.bench.upstream --port 9100 --gap-ms 1`. It knows streams, usage with cached tokens, and nothing else.
"""

import argparse
import asyncio
import json
from typing import cast

import httptools
import uvloop

GAP_MS = 1.0
MODEL = "gpt-4o-mini-2024-07-18"
WORDS = [f"word{index} " for index in range(20)]
USAGE = {
    "prompt_tokens": 42,
    "completion_tokens": len(WORDS),
    "total_tokens": 42 + len(WORDS),
    "prompt_tokens_details": {"cached_tokens": 16},
}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def answer(body: dict[str, object]) -> bytes:
    """A whole HTTP response with `body` as JSON."""
    payload = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
    return head.encode() + payload


def chunk(**fields: object) -> bytes:
    """One server-sent event, framed as one chunk of HTTP's chunked coding."""
    envelope = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1790000000, "model": MODEL}
    event = b"data: " + json.dumps({**envelope, **fields}, separators=(",", ":")).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


def choice(delta: dict[str, str], finish_reason: str | None = None) -> list[dict[str, object]]:
    return [{"index": 0, "delta": delta, "finish_reason": finish_reason}]


COMPLETION = answer(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1790000000,
        "model": MODEL,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "".join(WORDS)}, "finish_reason": "stop"},
        ],
        "usage": USAGE,
    }
)
MODELS = answer({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
STREAM = [
    chunk(choices=choice({"role": "assistant", "content": ""})),
    *(chunk(choices=choice({"content": word})) for word in WORDS),
    chunk(choices=choice({}, finish_reason="stop")),
]
STREAM_USAGE = chunk(choices=[], usage=USAGE)


class Backend(asyncio.Protocol):
    """One connection. Bodies are searched, not parsed: what is measured here is the proxy in front."""

    def __init__(self, gap_s: float) -> None:
        self.gap_s = gap_s
        self.parser = httptools.HttpRequestParser(self)
        self.streams: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's class is one in all but its ancestry

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.parser.get_method() == b"GET":
            self.transport.write(MODELS)
        elif b'"stream":true' in self.body or b'"stream": true' in self.body:
            task = asyncio.get_running_loop().create_task(self.stream(b"include_usage" in self.body))
            self.streams.add(task)
            task.add_done_callback(self.streams.discard)
        else:
            self.transport.write(COMPLETION)

    async def stream(self, with_usage: bool) -> None:
        first, *rest = STREAM
        self.transport.write(STREAM_HEAD + first)
        for event in rest:
            await asyncio.sleep(self.gap_s)
            if self.transport.is_closing():
                return
            self.transport.write(event)
        self.transport.write((STREAM_USAGE if with_usage else b"") + STREAM_END)


async def serve(port: int, gap_ms: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Backend(gap_ms / 1000), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gap-ms", type=float, default=GAP_MS, help="time between the chunks of a stream")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.gap_ms))


if __name__ == "__main__":
    main()
