"""The demo's own on-call: takes webhooks whose Standard Webhooks signature is right, and keeps them in a file.

POST /webhooks delivers one, GET /webhooks lists those that came, newest first.
"""

import base64
import hashlib
import hmac
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

TOLERANCE_S: Final = 300
MAX_BODY_BYTES: Final = 1 << 20
REMEMBERED: Final = 500

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

logger = logging.getLogger(__name__)


class SignatureError(Exception):
    """A delivery that was not signed with the secret, or not now."""


def verify_signature(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
    """Check Standard Webhooks' three headers against `whsec_...`. Raises SignatureError."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not timestamp.isascii() or not timestamp.isdigit():
        raise SignatureError("webhook-id and webhook-timestamp are needed")
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise SignatureError(f"webhook-timestamp is more than {TOLERANCE_S} s away")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(expected.encode(), signature.encode()) for signature in given):
        raise SignatureError("webhook-signature is wrong")


class WebhookReceiver:
    """A bare ASGI app. `file` gets one JSON line for each delivery; a delivery that comes twice is kept once."""

    def __init__(self, secret: str, file: Path, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._file = file
        self._clock = clock
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = file.read_bytes().splitlines() if file.exists() else []
        self._deliveries: deque[dict[str, Any]] = deque(map(orjson.loads, lines[-REMEMBERED:]), REMEMBERED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await _answer(send, 200, {"deliveries": list(reversed(self._deliveries))})
            return
        if scope["method"] != "POST":
            await _answer(send, 405, {"error": "GET or POST"})
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            body = await _read(receive)
            verify_signature(self._secret, headers, body, self._clock())
            self._keep(headers["webhook-id"], orjson.loads(body))
        except SignatureError as error:
            logger.warning("webhook refused: %s", error)
            await _answer(send, 401, {"error": str(error)})
        except orjson.JSONDecodeError:
            await _answer(send, 400, {"error": "the body is not JSON"})
        else:
            await _answer(send, 200, {"received": True})

    def _keep(self, message_id: str, body: Any) -> None:
        if any(delivery["id"] == message_id for delivery in self._deliveries):
            return
        received = datetime.fromtimestamp(self._clock(), tz=UTC).isoformat(timespec="milliseconds")
        delivery = {"id": message_id, "received": received, "body": body}
        self._deliveries.append(delivery)
        with self._file.open("ab") as file:
            file.write(orjson.dumps(delivery) + b"\n")


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise SignatureError(f"the body is larger than {MAX_BODY_BYTES} bytes")
        if not message.get("more_body"):
            return bytes(body)


async def _answer(send: Send, status: int, document: Mapping[str, Any]) -> None:
    body = orjson.dumps(document)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
