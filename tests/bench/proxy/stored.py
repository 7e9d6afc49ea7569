"""What the store holds of the calls a gateway has answered."""

import json
import time
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.bench.processes import footprint
from tests.bench.upstream import USAGE

STORED = """
SELECT countIf(operation = 'chat') AS calls, uniqExactIf(span_id, operation = 'chat') AS ids,
    countIf(startsWith(name, 'attempt ')) AS attempts, sum(input_tokens) AS input_tokens
FROM spanwell.spans FORMAT JSONEachRow
"""


def wait_for_spans(sql_url: str, answered: int, seconds: float = 300) -> dict[str, int]:
    """The store's counts, once it holds every answered call; after `seconds` what it holds then."""
    deadline = time.monotonic() + seconds
    stored = _count(sql_url)
    while stored["calls"] < answered and time.monotonic() < deadline:
        time.sleep(0.5)
        stored = _count(sql_url)
    return stored


def tell_stored(stored: dict[str, int], answered: int, collector_pid: int) -> str:
    """In words; the collector's share with them."""
    tokens = answered * int(str(USAGE["prompt_tokens"]))
    collector_us = footprint(collector_pid).cpu_s / max(answered, 1) * 1e6
    return (
        f"In the store: {stored['calls']:,} spans of {answered:,} answered calls, {stored['ids']:,} distinct ids, "
        f"{stored['attempts']:,} attempts, {stored['input_tokens']:,} input tokens of {tokens:,} reported. "
        f"The collector used {collector_us:,.0f} µs of CPU a call, its start included."
    )


def _count(sql_url: str) -> dict[str, int]:
    with urlopen(f"{sql_url}/?{urlencode({'query': STORED})}", timeout=30) as response:
        row = json.loads(response.readline())
    return {name: int(value) for name, value in row.items()}
