"""The load generator: calls chat completions and prints, as one JSON line, what it saw.

Closed loop, or paced with exponential gaps. About 20 µs of CPU a call, so that it does not measure itself.
"""

import argparse
import asyncio
import json
import math
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop

from tests.bench.processes import footprint

DRAIN_S = 15.0
MARK = "NUMBER--HERE"  # as long as what stands in its place
LETTERS = bytes.maketrans(b"0123456789", b"abcdefghij")
SAYING = "The quick brown fox jumps over the lazy dog, and the dog looks after it for a while. "


@dataclass(frozen=True)
class Load:
    """One window. `rate` is offered calls a second over all connections; 0 is the closed loop."""

    url: str
    key: str
    model: str
    connections: int
    seconds: float
    warm_s: float = 0.5
    rate: float = 0.0
    stream: bool = False
    pid: int = 0  # the server whose CPU and memory are read
    body_bytes: int = 1024  # at least so many: what is missing is said in the prompt
    first: int = 0  # number of the first body: no two are the same, within a window or across windows
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """What one window showed. Percentiles are of the whole call and of the first byte of its body, in ms."""

    calls: int
    answered: int  # with 200, warm-up and drain included: what must be found in the store
    errors: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    first_p50_ms: float
    first_p95_ms: float
    cpu_us: float
    rss_mb: float


@dataclass
class Log:
    """What the connections write down together."""

    recording: bool = False
    stopping: bool = False
    answered: int = 0
    errors: int = 0
    busy: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    totals_s: list[float] = field(default_factory=list)
    firsts_s: list[float] = field(default_factory=list)


class Caller(asyncio.Protocol):
    """One keep-alive connection that calls again when it was answered."""

    def __init__(self, requests: Iterator[bytes], gap_s: float, log: Log) -> None:
        self.requests = requests
        self.gap_s = gap_s
        self.log = log
        self.waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's class is one in all but its ancestry
        self.later = asyncio.get_running_loop().call_later
        self.later(random.expovariate(1 / self.gap_s) if self.gap_s else 0, self.call)

    def call(self) -> None:
        if self.log.stopping or self.transport.is_closing():
            return
        self.log.busy += 1
        self.waiting = True
        self.parser = httptools.HttpResponseParser(self)
        self.first_at = 0.0
        self.called_at = time.perf_counter()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, _body: bytes) -> None:
        self.first_at = self.first_at or time.perf_counter()

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self.settle()
        if self.parser.get_status_code() != 200:
            self.log.errors += 1
        else:
            self.log.answered += 1
            if self.log.recording:
                self.log.totals_s.append(now - self.called_at)
                self.log.firsts_s.append(self.first_at - self.called_at)
        # From the loop, not from here: the parser is still inside this very message.
        spent_s = now - self.called_at
        self.later(max(0.0, random.expovariate(1 / self.gap_s) - spent_s) if self.gap_s else 0, self.call)

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.log.stopping or self.waiting:
            self.log.errors += 1
        if self.waiting:
            self.settle()

    def settle(self) -> None:
        self.waiting = False
        self.log.busy -= 1
        if self.log.stopping and self.log.busy == 0:
            self.log.idle.set()


def requests(load: Load) -> Iterator[bytes]:
    """Calls without end, whole: the bodies differ in a number of a fixed length, so only that is made anew.

    It is written in letters: digits look like somebody's, and would be looked at closer than most texts are.
    """
    before, after = request_parts(load)
    numbers = ((b"%012d" % number).translate(LETTERS) for number in count(load.first))
    return (b"%s%s%s" % (before, number, after) for number in numbers)


def request_parts(load: Load) -> tuple[bytes, bytes]:
    """What stands before and behind the number of a call."""
    missing = max(0, load.body_bytes - len(json.dumps(_body(load, ""))))
    said = (SAYING * (missing // len(SAYING) + 1))[:missing]
    before, after = json.dumps(_body(load, said)).split(MARK)
    given = {"authorization": f"Bearer {load.key}", "content-type": "application/json", **load.headers}
    length = len(before) + len(MARK) + len(after)
    head = ["POST /v1/chat/completions HTTP/1.1", f"host: {urlsplit(load.url).netloc}", f"content-length: {length}"]
    head += [f"{name}: {value}" for name, value in given.items()]
    return ("\r\n".join(head) + "\r\n\r\n" + before).encode(), after.encode()


def _body(load: Load, said: str) -> dict[str, object]:
    return {
        "model": load.model,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": f"Question {MARK}: write one line about foxes and dogs, please. {said}"},
        ],
        "temperature": 0.7,
        "max_tokens": 64,
        **({"stream": True, "stream_options": {"include_usage": True}} if load.stream else {}),
    }


async def run(load: Load) -> Measure:
    """Open the connections, warm up, measure, stop calling, and wait for the calls that are under way."""
    log = Log()
    transports = await _connect(load, log)
    await asyncio.sleep(load.warm_s)
    before = footprint(load.pid) if load.pid else None
    started = time.perf_counter()
    log.recording = True
    await asyncio.sleep(load.seconds)
    log.recording = False
    elapsed_s = time.perf_counter() - started
    after = footprint(load.pid) if load.pid else None
    log.stopping = True
    await _drain(log)
    for transport in transports:
        transport.close()
    calls = len(log.totals_s)
    return Measure(
        calls=calls,
        answered=log.answered,
        errors=log.errors,
        per_second=calls / elapsed_s,
        p50_ms=percentile_ms(log.totals_s, 0.50),
        p95_ms=percentile_ms(log.totals_s, 0.95),
        p99_ms=percentile_ms(log.totals_s, 0.99),
        first_p50_ms=percentile_ms(log.firsts_s, 0.50),
        first_p95_ms=percentile_ms(log.firsts_s, 0.95),
        cpu_us=(after.cpu_s - before.cpu_s) / max(calls, 1) * 1e6 if before and after else math.nan,
        rss_mb=after.rss_mb if after else math.nan,
    )


async def _connect(load: Load, log: Log) -> list[asyncio.Transport]:
    host, _, port = urlsplit(load.url).netloc.partition(":")
    numbered = requests(load)
    gap_s = load.connections / load.rate if load.rate else 0.0
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Caller(numbered, gap_s, log), host, int(port))
        for _ in range(load.connections)
    ]
    return [transport for transport, _caller in opened]


async def _drain(log: Log) -> None:
    if log.busy:
        with suppress(TimeoutError):
            await asyncio.wait_for(log.idle.wait(), DRAIN_S)
    log.errors += log.busy


def percentile_ms(seconds: Sequence[float], share: float) -> float:
    """The value that `share` of the list stays below or at, in milliseconds; NaN of an empty list."""
    if not seconds:
        return math.nan
    return sorted(seconds)[math.ceil(share * len(seconds)) - 1] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("load", help="the window, a JSON object with the fields of Load")
    load = Load(**json.loads(parser.parse_args().load))
    sys.stdout.write(json.dumps(asdict(uvloop.run(run(load)))) + "\n")


if __name__ == "__main__":
    main()
