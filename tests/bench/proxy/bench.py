"""One run over all targets, one at a time: what was seen, and whether the store has all of it."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.load import Load, Measure
from tests.bench.proxy import targets
from tests.bench.proxy.goals import UNARY, WINDOWS
from tests.bench.proxy.stored import tell_stored, wait_for_spans
from tests.bench.proxy.table import LITELLM, SPANWELL, Window

WARM_UP = Window(connections=4)
LITELLM_MAX_RATE = 100  # a faster pace would show LiteLLM's queue, not its latency
GAP_MS = 5.0  # between a stream's chunks: closer ones would reach a busy gateway several at once
LONG_CALLS = 200_000
BODIES = 10**8  # numbers that one window may use up


@dataclass(frozen=True)
class Plan:
    """What is asked for on the command line."""

    seconds: float
    litellm: Path | None
    portkey: Path | None
    long: bool


class Bench:
    """Fills itself in as it runs; `resident` is of the long run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.measures: dict[Window, dict[str, Measure]] = defaultdict(dict)
        self.start_mb: dict[str, float] = {}
        self.resident: list[tuple[int, float]] = []
        self.is_stored = False
        self.evidence = ""
        self._loads = 0

    def run(self, folder: Path) -> None:
        with targets.backend(folder, gap_ms=GAP_MS) as direct:
            self._measure(direct)
            for gateway in self._gateways(folder, direct.url):
                with gateway as target:
                    answered = self._measure(target)
                    if target.name == SPANWELL:
                        self._look_into_store(target, answered + self._run_long(target))

    def _gateways(self, folder: Path, backend_url: str) -> Iterator[AbstractContextManager[targets.Target]]:
        yield targets.relay(folder, backend_url)
        yield targets.spanwell(folder, backend_url)
        if self.plan.portkey:
            yield targets.portkey(folder, backend_url, self.plan.portkey)
        if self.plan.litellm:
            yield targets.litellm(folder, backend_url, self.plan.litellm)

    def _measure(self, target: targets.Target) -> int:
        """Fill in the target's windows; return how many calls it has answered, the warm-up's included."""
        self.start_mb[target.name] = target.start_mb
        answered = self._call(target, WARM_UP, seconds=1.0).answered
        for window in WINDOWS:
            if target.name == LITELLM and window.rate > LITELLM_MAX_RATE:
                continue
            sys.stderr.write(f"{target.name}: {window.title}\n")
            seen = self.measures[window][target.name] = self._call(target, window, self.plan.seconds)
            answered += seen.answered
        return answered

    def _run_long(self, target: targets.Target) -> int:
        """Call on until LONG_CALLS were answered, and note the memory on the way."""
        answered = 0
        while self.plan.long and answered < LONG_CALLS:
            seen = self._call(target, UNARY, seconds=5.0)
            answered += seen.answered
            self.resident.append((answered, seen.rss_mb))
            sys.stderr.write(f"{target.name}: {answered:,} calls, {seen.rss_mb:.0f} MB\n")
        return answered

    def _look_into_store(self, target: targets.Target, answered: int) -> None:
        stored = wait_for_spans(target.sql_url, answered)
        self.is_stored = stored["calls"] == stored["ids"] == answered
        self.evidence = tell_stored(stored, answered, target.collector_pid)

    def _call(self, target: targets.Target, window: Window, seconds: float) -> Measure:
        """One window, driven from a process of its own on the load's core."""
        self._loads += 1
        load = Load(
            url=target.url,
            key=target.key,
            model=targets.MODEL,
            connections=window.connections,
            seconds=seconds,
            rate=window.rate,
            stream=window.stream,
            pid=target.pid,
            first=self._loads * BODIES,
            headers=target.headers,
        )
        command = ["taskset", "-c", str(targets.LOAD_CORE), sys.executable, "-m", "tests.bench.load"]
        done = subprocess.run(
            [*command, json.dumps(asdict(load))], check=True, stdout=subprocess.PIPE, timeout=seconds + 120
        )
        return Measure(**json.loads(done.stdout))
