"""An exporter that behaves: it numbers its batches, and sends one again, byte for byte, until it is acknowledged."""

import socket
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from tests.collector.batches import SpanIn, call, make_batch

PROTOBUF = {"content-type": "application/x-protobuf"}
SPANS_A_BATCH = 5


@dataclass
class Sender:
    """One producer. `acknowledged` are the numbers of the spans that were answered with 200."""

    instance: str
    text: str = ""
    acknowledged: list[int] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    _next: int = 0
    _waiting: tuple[list[int], bytes] | None = None

    def send(self, url: str, *, lose_answer: bool = False) -> bool:
        """Send the batch that waits, or the next one; whether it was acknowledged."""
        numbers, body = self._waiting or self._make()
        self._waiting = (numbers, body)
        if lose_answer:
            hang_up_after_sending(url, body)
        try:
            reply = httpx.post(f"{url}/v1/traces", content=body, headers=PROTOBUF, timeout=30)
        except httpx.TransportError:
            return False
        if reply.status_code != 200:
            self.refusals.append(reply.status_code)
            return False
        self.acknowledged += numbers
        self._waiting = None
        return True

    def send_until(self, url: str, deadline: float) -> None:
        """Send batch after batch until `deadline` or until the receiver is gone."""
        while time.monotonic() < deadline and self.send(url):
            pass

    def finish(self, url: str, seconds: float = 60) -> None:
        """Have the batch that waits acknowledged, asking again as long as the receiver says to wait."""
        deadline = time.monotonic() + seconds
        while self._waiting and not self.send(url) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert self._waiting is None, f"not acknowledged in {seconds} s: {self.refusals[-1:]}"

    def _make(self) -> tuple[list[int], bytes]:
        first = self._next
        self._next += SPANS_A_BATCH
        numbers = list(range(first + 1, first + SPANS_A_BATCH + 1))
        spans = [SpanIn(trace=number, span=number, attributes=call(text=self.text)) for number in numbers]
        batch = {"spanwell.batch.first": first, "spanwell.batch.spans": SPANS_A_BATCH, "spanwell.batch.dropped": 0}
        return numbers, make_batch(spans, {"service.instance.id": self.instance, **batch}).SerializeToString()


def hang_up_after_sending(url: str, body: bytes) -> None:
    """Send a request and close the connection before the answer can be read."""
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    head = f"POST /v1/traces HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: application/x-protobuf\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(0.1)
