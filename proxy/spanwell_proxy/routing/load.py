"""What a vLLM says of its load with an answer, when the request asked for it."""

from typing import Any, Final

import orjson

from spanwell_proxy.routing.facts import Facts

ANSWERED: Final = "endpoint-load-metrics"
LONGEST: Final = 4096


def hear_load(facts: Facts, told: str, now: float) -> None:
    """Note the header of an answer; what is not as it should be is no news."""
    if not told or len(told) > LONGEST:
        return
    try:
        document = orjson.loads(told.removeprefix("JSON "))
    except ValueError:
        return
    named = document.get("named_metrics") if isinstance(document, dict) else None
    if isinstance(named, dict):
        waiting, cache_use = _read(named.get("num_requests_waiting")), _read(named.get("kv_cache_usage_perc"))
        if waiting is not None and cache_use is not None:
            facts.note_load(now, int(waiting), None, min(1.0, cache_use))


def _read(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 1e9 else None
