"""What a vLLM server says of its load in `/metrics`: three lines of a long page, found without reading the rest."""

import re
from typing import Final, NamedTuple

# The last name is what vLLM called it before 0.10.
SAMPLE: Final = re.compile(
    rb"^vllm:(num_requests_waiting|num_requests_running|kv_cache_usage_perc|gpu_cache_usage_perc)"
    rb"(?:\{[^\n]*\})? ([0-9.eE+-]+|NaN)",
    re.MULTILINE,
)


class Load(NamedTuple):
    """Requests that wait and that run, and the share of the KV cache in use, 0 to 1."""

    waiting: int
    running: int
    cache_use: float


def read_load(page: bytes) -> Load | None:
    """Of all its engines together: requests are added up, the fullest cache counts. None where it says nothing."""
    seen: dict[bytes, list[float]] = {}
    for name, value in SAMPLE.findall(page):
        try:
            number = float(value)
        except ValueError:
            continue
        if 0 <= number < 1e9:
            seen.setdefault(name, []).append(number)
    if b"num_requests_waiting" not in seen or b"num_requests_running" not in seen:
        return None
    use = seen.get(b"kv_cache_usage_perc") or seen.get(b"gpu_cache_usage_perc") or [0.0]
    return Load(
        waiting=round(sum(seen[b"num_requests_waiting"])),
        running=round(sum(seen[b"num_requests_running"])),
        cache_use=min(1.0, max(use)),
    )
