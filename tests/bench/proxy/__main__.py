"""Measures Spanwell's proxy beside a direct call, a bare relay, Portkey's and LiteLLM's gateways: `make bench-proxy`.

Prints Markdown and exits with 1 where a goal is missed. Every target sees the same windows, one target at a time, in
one run. Afterwards the spans in the store are counted: a proxy that is fast because it loses telemetry would be found
out.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.bench.processes import busy_share
from tests.bench.proxy import targets
from tests.bench.proxy.bench import GAP_MS, LONG_CALLS, Bench, Plan
from tests.bench.proxy.goals import STREAMS, WINDOWS, goals_table, judge, memory_table
from tests.bench.proxy.table import window_table
from tests.bench.upstream import STREAM, WORDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", type=Path, help="LiteLLM's program; without it LiteLLM is left out")
    parser.add_argument("--portkey", type=Path, help="Portkey's npm package; without it Portkey is left out")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each window")
    parser.add_argument("--long", action="store_true", help=f"call Spanwell {LONG_CALLS:,} times more, for its memory")
    plan = Plan(**vars(parser.parse_args()))
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("the bench needs two cores: one for the load, one for the gateway")
    busy, bench = busy_share(), Bench(plan)
    with tempfile.TemporaryDirectory(prefix="spanwell-bench-") as folder:
        bench.run(Path(folder))
    goals = judge(bench.measures, bench.resident)
    tables = [window_table(window, bench.measures[window]) for window in WINDOWS]
    memory = memory_table(bench.start_mb, bench.measures[STREAMS], bench.resident)
    report = [conditions(plan, busy), goals_table(goals), *tables, memory, bench.evidence]
    sys.stdout.write("\n\n".join(report) + "\n")
    sys.exit(0 if bench.is_stored and all(goal.met for goal in goals) else 1)


def conditions(plan: Plan, busy: float) -> str:
    """The machine, the versions, and what was switched on."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {cpu.partition(': ')[2] or '?'}"
    facts = [
        f"{machine}, Python {platform.python_version()}; {busy:.0%} of it busy with other things before the run.",
        f"Core {targets.LOAD_CORE}: backend, load and, at the lowest priority, the collector. "
        f"Core {targets.PROXY_CORE}: the gateway, one worker.",
        f"Windows of {plan.seconds:g} s after a warm-up. Bodies of 1 KB, no two the same; streams of {len(STREAM)} "
        f"chunks, {len(WORDS)} of them content, {GAP_MS:g} ms apart.",
        f"Spanwell {version('spanwell')}: a key with a daily and a monthly budget, a cache lookup, usage, cost, a span "
        "with masked texts and one for the attempt, stored.",
    ]
    if plan.portkey:
        release = json.loads((plan.portkey / "package.json").read_text())["version"]
        facts.append(f"Portkey {release}: the relay alone; its open gateway has no keys, no budgets and no spans.")
    if plan.litellm:
        facts.append(
            f"LiteLLM {litellm_version(plan.litellm)}: the master key; no database, so no budgets; no callbacks."
        )
    return "\n".join(f"- {fact}" for fact in facts)


def litellm_version(program: Path) -> str:
    """The version in the environment that holds `program`."""
    ask = "import importlib.metadata; print(importlib.metadata.version('litellm'))"
    done = subprocess.run([program.parent / "python", "-c", ask], check=True, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
