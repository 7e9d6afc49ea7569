from dataclasses import replace

from tests.bench.load import Measure
from tests.bench.proxy.table import DIRECT, LITELLM, PORTKEY, SPANWELL, Window, window_table

MEASURE = Measure(
    calls=1000,
    answered=1200,
    errors=0,
    per_second=4000.0,
    p50_ms=1.5,
    p95_ms=2.5,
    p99_ms=3.5,
    first_p50_ms=0.5,
    first_p95_ms=0.75,
    cpu_us=150.0,
    rss_mb=60.0,
)


def test_a_gateway_stands_beside_the_direct_call_and_the_others() -> None:
    measures = {
        DIRECT: replace(MEASURE, per_second=40_000.0, p50_ms=0.25, p95_ms=0.5, cpu_us=10.0),
        SPANWELL: MEASURE,
        PORTKEY: replace(MEASURE, per_second=1000.0, p50_ms=10.25, p95_ms=20.5, cpu_us=1500.0),
        LITELLM: replace(MEASURE, per_second=100.0, p50_ms=50.25, p95_ms=90.5, cpu_us=7500.0),
    }

    lines = window_table(Window(connections=32), measures).splitlines()

    assert lines[0] == "**Unary calls, as fast as they go, 32 connections**"
    assert lines[4] == "| direct | 40,000 | 40.0 | 400.0 | 10 | 150.0 | 750.0 | (0.25) | (0.50) | 60 | 0 |"
    assert lines[5] == "| Spanwell | 4,000 | 4.0 | 40.0 | 150 | 10.0 | 50.0 | 1.25 | 2.00 | 60 | 0 |"
    assert lines[7] == "| LiteLLM | 100 | 0.1 | 1.0 | 7,500 | 0.2 | 1.0 | 50.00 | 90.00 | 60 | 0 |"


def test_a_stream_shows_its_first_byte_too() -> None:
    measures = {DIRECT: replace(MEASURE, first_p50_ms=0.25), SPANWELL: MEASURE}

    lines = window_table(Window(connections=16, stream=True, rate=15), measures).splitlines()

    assert lines[0] == "**Streams, 15 a second, 16 connections**"
    assert lines[-1] == "| Spanwell | 4,000 | 150 | 0.00 | 0.00 | 0.25 | 0.00 | 60 | 0 |"
