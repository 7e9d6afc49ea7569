"""Ten thousand mutilated requests: each is accepted in part or refused, and none breaks anything."""

import gzip
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from google.protobuf.message import Message

from spanwell_collector.ingest.prepare import prepare
from spanwell_collector.ingest.reading import to_plain
from spanwell_collector.ingest.spans import NO_REFINER
from spanwell_collector.receivers.checks import read_request
from spanwell_collector.receivers.inflate import inflate
from spanwell_collector.receivers.refusals import JSON, PROTOBUF, Encoding, RefusedError
from spanwell_collector.receivers.signals import SIGNALS, Signal
from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import Client, poll

ROUNDS = 5_000  # of each encoding
FIXTURES = Path("tests/collector/dialects/fixtures")
NASTY = (
    b"\x00",
    b"\xff",
    b"\x80" * 10,
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\xc2\x3e\x04evil",
    b"\x1f\x8b",
    b'"',
    b"1e999",
    b"-1",
)
STRANGE: Final[tuple[Any, ...]] = (
    None,
    -1,
    2**64 - 1,
    "x" * 1000,
    1e300,
    [],
    {},
    [None],
    {"": {}},
    True,
    "\x00",
    "NaN",
    [[[]]],
)


def _seeds() -> list[tuple[Signal, Message]]:
    traces, logs, metrics = SIGNALS
    spans = [SpanIn(trace=0xF000 + index, attributes=call(list=["a", "b"], cost=0.5)) for index in range(3)]
    return [
        (traces, make_batch(spans, {"spanwell.project": "fuzz"})),
        (logs, logs.request.FromString((FIXTURES / "otel_v2_default.logs.pb").read_bytes())),
        (metrics, metrics.request.FromString((FIXTURES / "openllmetry_openai.metrics.pb").read_bytes())),
    ]


SEEDS = _seeds()


def _mutate(body: bytes, dice: random.Random) -> bytes:
    """Up to four changes: a flipped bit, a cut, a doubled slice, something nasty put in."""
    data = bytearray(body)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(5):
            case 0 if at < len(data):
                data[at] ^= 1 << dice.randrange(8)
            case 1:
                del data[at : at + dice.randint(1, 40)]
            case 2:
                data[at:at] = data[at : at + dice.randint(1, 200)]
            case 3:
                data[at:at] = dice.choice(NASTY)
            case _:
                data[at : at + 8] = dice.randbytes(8)
    return bytes(data)


def _mutate_json(value: Any, dice: random.Random) -> Any:
    """The same structure with one thing in fifty of another kind."""
    if dice.random() < 0.02:
        return dice.choice(STRANGE)
    if isinstance(value, dict):
        return {key: _mutate_json(item, dice) for key, item in value.items()}
    return [_mutate_json(item, dice) for item in value] if isinstance(value, list) else value


def _mutants(encoding: Encoding, rounds: int, seed: int) -> Iterator[tuple[Signal, bytes]]:
    dice = random.Random(seed)
    for _ in range(rounds):
        signal, message = dice.choices(SEEDS, weights=(6, 2, 1))[0]
        if encoding == JSON:
            body = orjson.dumps(_mutate_json(to_plain(signal.kind + message.SerializeToString()), dice))
            yield signal, body if dice.random() < 0.8 else _mutate(body, dice)
        else:
            yield signal, _mutate(message.SerializeToString(), dice)


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
def test_what_is_accepted_of_a_mutant_can_be_prepared(encoding: Encoding) -> None:
    refusals: Counter[int] = Counter()
    for signal, body in _mutants(encoding, ROUNDS, seed=1):
        try:
            prepare([read_request(signal, body, encoding).record], NO_REFINER, project="fuzz")
        except RefusedError as refusal:
            refusals[refusal.http_status] += 1

    assert refusals.keys() == {400}
    assert refusals.total() < ROUNDS


def test_mutants_of_compressed_bodies_are_refused_in_words() -> None:
    dice, refusals = random.Random(2), set()
    body = gzip.compress(make_batch([SpanIn()] * 20).SerializeToString())

    for _ in range(2000):
        try:
            inflate(_mutate(body, dice), "gzip")
        except RefusedError as refusal:
            refusals.add(refusal.http_status)

    assert refusals <= {400, 413}


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
def test_a_server_survives_them_and_stores_what_it_accepted(collector: Client, encoding: Encoding) -> None:
    answers = [
        collector.http.post(signal.path, content=body, headers={"content-type": encoding}).status_code
        for signal, body in _mutants(encoding, 300, seed=time.time_ns())
    ]

    assert set(answers) <= {200, 400}
    assert poll(lambda: collector.http.get("/health").json()["spool_bytes"], lambda size: size == 0, seconds=20) == 0
