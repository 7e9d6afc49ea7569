"""Measures Spanwell's proxy beside a direct call and beside LiteLLM's proxy, in one run: `make bench`.

Prints Markdown. Every target sees the same windows, one target at a time. Afterwards the spans in the store are
counted: a proxy that is fast because it loses telemetry would be found out.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.bench import targets
from tests.bench.load import Load, Measure
from tests.bench.processes import busy_share, footprint
from tests.bench.table import LITELLM, Window, window_table
from tests.bench.upstream import GAP_MS, STREAM, USAGE

WINDOWS = (
    Window(connections=32),
    Window(connections=16, rate=50),
    Window(connections=16, rate=1000),
    Window(connections=64, stream=True),
    Window(connections=16, stream=True, rate=15),
)
WARM_UP = Window(connections=4)
LITELLM_MAX_RATE = 100  # a faster pace would show LiteLLM's queue, not its latency
STORED = "SELECT count() AS spans, uniqExact(span_id) AS ids, sum(input_tokens) AS input_tokens FROM spanwell.spans"

Measures = dict[Window, dict[str, Measure]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", type=Path, help="LiteLLM's program; without it LiteLLM is left out")
    parser.add_argument("--seconds", type=float, default=2.5, help="length of each window")
    arguments = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("the bench needs two cores: one for the load, one for the proxy")
    busy = busy_share()
    with tempfile.TemporaryDirectory(prefix="spanwell-bench-") as folder:
        measures, evidence = measure_all(Path(folder), arguments.litellm, arguments.seconds)
    tables = [window_table(window, measures[window]) for window in WINDOWS]
    report = [conditions(arguments.litellm, arguments.seconds, busy), *tables, evidence]
    sys.stdout.write("\n\n".join(report) + "\n")


def measure_all(folder: Path, litellm: Path | None, seconds: float) -> tuple[Measures, str]:
    """Every window of every target, and what the store says of Spanwell's."""
    measures: Measures = defaultdict(dict)
    with targets.backend(folder) as direct:
        measure(direct, seconds, measures)
        with targets.spanwell(folder, direct.url) as spanwell:
            answered = measure(spanwell, seconds, measures)
            evidence = stored_evidence(spanwell, answered)
        if litellm:
            with targets.litellm(folder, direct.url, litellm) as target:
                measure(target, seconds, measures)
    return measures, evidence


def measure(target: targets.Target, seconds: float, measures: Measures) -> int:
    """Fill in the target's windows; return how many calls it has answered, the warm-up's included."""
    answered = call(target, WARM_UP, seconds=1.0).answered
    for window in WINDOWS:
        if target.name == LITELLM and window.rate > LITELLM_MAX_RATE:
            continue
        sys.stderr.write(f"{target.name}: {window.title}\n")
        seen = measures[window][target.name] = call(target, window, seconds)
        answered += seen.answered
    return answered


def call(target: targets.Target, window: Window, seconds: float) -> Measure:
    """One window, driven from a process of its own on the load's core."""
    load = Load(
        url=target.url,
        key=targets.KEY,
        model=targets.MODEL,
        connections=window.connections,
        seconds=seconds,
        rate=window.rate,
        stream=window.stream,
        pid=target.pid,
    )
    command = [
        "taskset",
        "-c",
        str(targets.LOAD_CORE),
        sys.executable,
        "-m",
        "tests.bench.load",
        json.dumps(asdict(load)),
    ]
    done = subprocess.run(command, check=True, capture_output=True, timeout=120)
    return Measure(**json.loads(done.stdout))


def stored_evidence(spanwell: targets.Target, answered: int, seconds: float = 60) -> str:
    """Wait until the store holds every answered call, then say what it holds."""
    deadline = time.monotonic() + seconds
    stored = query(spanwell.sql_url, STORED)
    while int(stored["spans"]) < answered and time.monotonic() < deadline:
        time.sleep(0.5)
        stored = query(spanwell.sql_url, STORED)
    tokens = answered * int(str(USAGE["prompt_tokens"]))
    collector_us = footprint(spanwell.collector_pid).cpu_s / max(answered, 1) * 1e6
    return (
        f"In the store: {int(stored['spans']):,} spans of {answered:,} answered calls, "
        f"{int(stored['ids']):,} distinct ids, {int(stored['input_tokens']):,} input tokens of {tokens:,} reported. "
        f"The collector used {collector_us:,.0f} µs of CPU a span, its start included."
    )


def query(sql_url: str, sql: str) -> dict[str, str]:
    """The first row of a statement, asked through the SQL door."""
    with urlopen(f"{sql_url}/?{urlencode({'query': sql + ' FORMAT JSONEachRow'})}", timeout=30) as response:
        row: dict[str, str] = json.loads(response.readline())
    return row


def conditions(litellm: Path | None, seconds: float, busy: float) -> str:
    """The machine, the versions, and what was switched on."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    machine = (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {cpu.partition(': ')[2] or 'CPU unknown'}"
    )
    left_out = "LiteLLM was left out."
    beside = (
        f"LiteLLM {litellm_version(litellm)}, same model and key: no database, no callbacks." if litellm else left_out
    )
    facts = [
        f"{machine}, Python {platform.python_version()}; {busy:.0%} of it busy with other things before the run.",
        f"Core {targets.LOAD_CORE}: backend, load and collector. Core {targets.PROXY_CORE}: the proxy, one worker.",
        f"Windows of {seconds:g} s after a warm-up; streams of {len(STREAM)} chunks, {GAP_MS:g} ms apart.",
        f"Spanwell {version('spanwell')}: key, routing, usage, cost; a span with texts stored for each call; no cache.",
        beside,
    ]
    return "\n".join(f"- {fact}" for fact in facts)


def litellm_version(program: Path) -> str:
    """The version in the environment that holds `program`."""
    ask = "import importlib.metadata; print(importlib.metadata.version('litellm'))"
    done = subprocess.run([program.parent / "python", "-c", ask], check=True, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
