import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spanwell_proxy.pace import GAPS_S, Pace
from spanwell_proxy.telemetry import metrics
from spanwell_proxy.telemetry.tally import Tally
from tests.proxy.telemetry.test_spans import call

COUNT = """
import sys
from spanwell_proxy.telemetry import metrics
from spanwell_proxy.telemetry.tally import Tally
from spanwell_proxy.telemetry.vitals import Vitals
from tests.proxy.telemetry.test_spans import call

tally = Tally()
for _ in range(int(sys.argv[1])):
    tally.count(call(status=200, started=1.0, ended=1.2, cache="hit"))
tally.flush()
Vitals().show(in_flight=2, waiting=1, breakers={}, now=0.0)
if sys.argv[2] == "wait":
    sys.stdout.write("counted\\n")
    sys.stdout.flush()
    sys.stdin.readline()
else:
    sys.stdout.buffer.write(metrics.render())
"""


def read(name: str, **labels: str) -> float:
    # Of one metric: by now others may have a thousand labels of other tests.
    (metric,) = metrics.REGISTRY.restricted_registry([name]).collect()
    return next((one.value for one in metric.samples if (one.name, one.labels) == (name, labels)), 0.0)


def test_nothing_is_shown_before_it_is_flushed_and_all_of_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tally, labels = Tally(), {"model": "", "status": "418"}
    tally.count(call(status=418, started=1.0, ended=3.0, cost_usd=Decimal("0.25")))
    before, cost_before = read("llm_requests_total", **labels), read("llm_estimated_cost_dollars_total", model="")

    shown = [read("llm_requests_total", **labels) - before]
    for _ in range(2):
        tally.flush()
        shown.append(read("llm_requests_total", **labels) - before)

    assert shown == [0, 1, 1]
    assert read("llm_estimated_cost_dollars_total", model="") - cost_before == 0.25


@pytest.mark.parametrize(("took_s", "bucket"), [(0.005, "0.005"), (0.0051, "0.01"), (500.0, "+Inf")])
def test_a_time_falls_into_its_bucket(took_s: float, bucket: str) -> None:
    name, tally = "llm_latency_seconds_bucket", Tally()
    bounds = [*map(str, metrics.SECONDS), "+Inf"]
    before = [read(name, model="", le=bound) for bound in bounds]

    tally.count(call(status=200, started=0.0, ended=took_s))
    tally.flush()

    grown = [read(name, model="", le=bound) - was for bound, was in zip(bounds, before, strict=True)]
    assert grown == [float(at >= bounds.index(bucket)) for at in range(len(bounds))]


def test_gaps_between_chunks_are_counted_as_they_come() -> None:
    pace = Pace(10.0, 1)
    for now, chunks in ((10.004, 2), (10.004, 2), (10.024, 6), (12.024, 7)):
        pace.note(now, chunks)

    told = dict(zip([*GAPS_S, "beyond"], pace.counts, strict=True))
    assert {bound: count for bound, count in told.items() if count} == {0.005: 5, 2.5: 1}
    assert pace.total_s == pytest.approx(2.024)


def test_workers_show_their_sums_together(tmp_path: Path) -> None:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    start: dict[str, Any] = {"env": environ, "stdout": subprocess.PIPE, "stdin": subprocess.PIPE}
    command = [sys.executable, "-c", COUNT]
    with subprocess.Popen([*command, "3", "wait"], **start) as first:
        assert first.stdout
        assert first.stdout.readline() == b"counted\n"
        page = subprocess.run([*command, "4", "show"], env=environ, capture_output=True, check=True).stdout.decode()
        first.communicate(b"\n")

    assert 'llm_requests_total{model="",status="200"} 7.0' in page
    assert 'llm_latency_seconds_count{model=""} 7.0' in page
    assert 'llm_cache_hit_rate{model=""} 1.0' in page
    assert "llm_queue_depth 2.0" in page
    assert "spanwell_proxy_workers 2.0" in page
    assert page.count("\nprocess_cpu_seconds_total ") == 1
