"""The one module that imports LiteLLM: it translates OpenAI's chat completions for backends of other dialects.

`spanwell_proxy.lane.keeper` starts it as a process of its own. Which backend, and with which key, comes from the hot
lane, never from a client; retries, fallbacks, cost and spans stay there too.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import litellm
import openai
import orjson
import uvicorn
import uvloop

from spanwell_proxy.failures import error_body
from spanwell_proxy.orphans import end_with_parent

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

GRACE_S = 10
PARAMETERS = frozenset(openai.types.chat.completion_create_params.CompletionCreateParamsBase.__annotations__) | {
    "stream"
}

litellm.disable_hf_tokenizer_download = True  # a model's name must not start a download
litellm.suppress_debug_info = True
litellm.drop_params = True  # what a backend has no word for is left out, as LiteLLM's own proxy does


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """`{"request": an OpenAI body, "params": LiteLLM's of the deployment, "timeout_s"}` in, OpenAI's answer out."""
    if scope["type"] != "http":
        return
    order = orjson.loads(await _read_body(receive))
    answering = asyncio.create_task(_answer(order, scope, send))
    leaving = asyncio.create_task(_await_departure(receive))
    await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    answering.cancel()
    await asyncio.gather(answering, leaving, return_exceptions=True)
    if not answering.cancelled():
        answering.result()


async def _answer(order: dict[str, Any], scope: MutableMapping[str, Any], send: Send) -> None:
    begun = False
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    try:
        answer = await litellm.acompletion(**_arguments(order, headers))
        if not order["request"].get("stream"):
            await _send_whole(send, 200, orjson.dumps(answer.model_dump(exclude_none=True)))
            return
        async for chunk in answer:
            if not begun:
                await _begin(send, 200, b"text/event-stream")
                begun = True
            await _send_part(send, b"data: " + orjson.dumps(chunk.model_dump(exclude_none=True)) + b"\n\n")
        await _send_part(send, b"data: [DONE]\n\n", last=True)
    except openai.OpenAIError as error:
        status = getattr(error, "status_code", None) or 502
        body = error_body(status, "translated_error", getattr(error, "message", "") or str(error))
        if begun:
            await _send_part(send, b"data: " + orjson.dumps(body) + b"\n\n", last=True)
        else:
            await _send_whole(send, status, orjson.dumps(body), _retry_after(error))


def _arguments(order: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    asked = {key: value for key, value in order["request"].items() if key in PARAMETERS}
    trace = {name: headers[name] for name in ("traceparent", "x-request-id") if name in headers}
    configured: dict[str, Any] = order["params"] | {"timeout": order["timeout_s"], "num_retries": 0, "max_retries": 0}
    return asked | configured | {"extra_headers": {**(configured.get("extra_headers") or {}), **trace}}


def _retry_after(error: openai.OpenAIError) -> list[tuple[bytes, bytes]]:
    response = getattr(error, "response", None)
    given = response.headers.get("retry-after") if response is not None else None
    return [(b"retry-after", str(given).encode())] if given else []


async def _read_body(receive: Receive) -> bytes:
    message = await receive()
    parts: list[bytes] = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def _await_departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _begin(send: Send, status: int, content_type: bytes, *extra: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", content_type), *extra]})


async def _send_part(send: Send, data: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": not last})


async def _send_whole(send: Send, status: int, body: bytes, extra: list[tuple[bytes, bytes]] | None = None) -> None:
    length = (b"content-length", b"%d" % len(body))
    await _begin(send, status, b"application/json", length, *(extra or []))
    await _send_part(send, body, last=True)


async def _serve(descriptor: int) -> None:
    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan="off", log_level="error", timeout_graceful_shutdown=GRACE_S
    )
    watching = asyncio.create_task(end_with_parent())
    with socket.socket(fileno=descriptor) as listener:
        listener.setblocking(False)
        await uvicorn.Server(config).serve(sockets=[listener])
    watching.cancel()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
