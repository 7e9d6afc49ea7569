"""The bare relay: what passing a call on costs by itself, with the proxy's server and its client to backends.

No key, no routing, no span: the limit that the proxy can approach and not pass.
"""

import argparse
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
import uvloop

from spanwell_proxy.serving.protocol import Protocol
from spanwell_proxy.upstream.wire import Request, Wire, write_head

Message = MutableMapping[str, Any]
JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream")]


def make_relay(
    backend: str,
) -> Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]:
    """An ASGI application that sends every body on and the answer back."""
    wire = Wire()
    head = write_head(backend, "/v1/chat/completions", {"content-type": "application/json"})

    async def relay(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        message = await receive()
        body: bytes = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        answer = await wire.send(Request(backend, head, body))
        if answer.header("content-type").startswith("text/event-stream"):
            await send({"type": "http.response.start", "status": answer.status, "headers": EVENTS})
            while part := await answer.read_some():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        else:
            whole = await answer.read()
            length = (b"content-length", b"%d" % len(whole))
            await send({"type": "http.response.start", "status": answer.status, "headers": [*JSON, length]})
            await send({"type": "http.response.body", "body": whole})
        answer.close()

    return relay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backend", required=True, help="its address: http://HOST:PORT")
    arguments = parser.parse_args()
    config = uvicorn.Config(
        make_relay(arguments.backend),
        port=arguments.port,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_level="error",
        server_header=False,
        date_header=False,
    )
    uvloop.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
