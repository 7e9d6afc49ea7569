"""What is asked, of ten million spans: `make bench-queries`. Prints Markdown; exits with 1 where a target is missed.

Every question that a page of the dashboard sends, over HTTP, for each of its windows and for thirty days; every time
with another end of the window, so that no answer is remembered. The collector takes in nothing meanwhile.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from tests.bench.collector.million import RARE_PHRASE, RARE_WORD, fill
from tests.bench.processes import busy_share, footprint
from tests.services import Service, start_collector

PROJECT: Final = "project-3"
WINDOWS: Final = {
    "1 h": timedelta(hours=1),
    "24 h": timedelta(hours=24),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
}
METRICS: Final = (
    "requests", "errors", "error_rate", "cost_usd", "saved_usd", "unpriced", "p50_ms", "p95_ms", "p99_ms",
    "ttft_p50_ms", "ttft_p95_ms", "tokens_per_second", "cache_hits", "cache_hit_rate",
)  # fmt: skip
PAGE_MS, TRACE_MS, LATEST_MS, SEARCH_MS = 300, 50, 50, 100

Pairs = list[tuple[str, str]]


class Question(NamedTuple):
    """A path and its parameters but for project and window, and how long its 95th percentile may take."""

    name: str
    path: str
    parameters: Pairs
    target_ms: int = PAGE_MS


def by(dimension: str, *metrics: str) -> Pairs:
    return [*((("metric"), name) for name in metrics or METRICS), ("by", dimension)]


QUESTIONS: Final = (
    Question("overview", "overview", []),
    Question("series of every metric", "series", [("metric", name) for name in METRICS]),
    Question("series by model", "series", by("model", "cost_usd", "requests")),
    Question("series by app", "series", by("app", "saved_usd")),
    Question("breakdown by model", "breakdown", by("model")),
    Question("breakdown by app", "breakdown", by("app")),
    Question("breakdown by user", "breakdown", by("user_id", "cost_usd", "requests", "saved_usd", "cache_hit_rate")),
    Question("breakdown by key", "breakdown", by("key_id", "cost_usd", "requests", "saved_usd", "cache_hit_rate")),
    Question("one model's overview", "overview", [("model", "gpt-4o")]),
    Question("breakdown by an attribute", "breakdown", by("attribute.tier", "requests", "p95_ms")),
    Question("values of model", "dimensions/model/values", []),
    Question("users", "users", []),
    Question("sessions", "sessions", []),
    Question("latest 50 traces", "traces", [("limit", "50")], LATEST_MS),
    Question("latest 50 with an error", "traces", [("limit", "50"), ("status", "error")]),
    Question("latest 50 of six seconds", "traces", [("limit", "50"), ("min_duration_ms", "6000")]),
    Question("one user's traces", "traces", [("limit", "50"), ("user_id", "user-77")]),
    Question("scores", "scores", [("limit", "2000")]),
    Question("score summary", "scores/summary", [("by", "name"), ("by", "source")]),
    Question("score summary by model", "scores/summary", [("by", "model"), ("by", "source")]),
    Question("score series", "scores/series", [("by", "name")]),
)


class Took(NamedTuple):
    question: str
    window: str
    ms: list[float]
    target_ms: int

    @property
    def p95_ms(self) -> float:
        return statistics.quantiles(self.ms, n=20, method="inclusive")[18]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=10, help="times each question is asked")
    parser.add_argument("--data", type=Path, help="keep the store here, and use the one that is there")
    arguments = parser.parse_args()
    with place(arguments.data) as data:
        if not (data / "store").exists():
            data.mkdir(parents=True, exist_ok=True)
            begun = time.monotonic()
            summed_s = fill(data / "store", arguments.spans)
            sys.stderr.write(f"filled in {time.monotonic() - begun:.0f} s, {summed_s:.0f} of them sums\n")
        busy = busy_share()
        service = start_collector(data)
        try:
            took = list(measure(service, arguments.runs))
            memory_mb = footprint(service.process.pid).rss_mb
        finally:
            service.stop(seconds=60)
        size_gb = sum(path.stat().st_size for path in (data / "store").rglob("*") if path.is_file()) / 1e9
    head = (
        f"{arguments.spans:,} spans in 8 projects over 30 days, one asked about; {size_gb:.1f} GB on the disk; "
        f"{memory_mb:,.0f} MB resident after all questions; {busy:.0%} of the machine busy with other things before."
    )
    sys.stdout.write(f"{head}\n\n{render(took)}\n")
    sys.exit(any(one.p95_ms > one.target_ms for one in took))


@contextmanager
def place(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="spanwell-queries-") as folder:
        yield Path(folder)


def measure(service: Service, runs: int) -> Iterator[Took]:
    """Ask every question once to warm the files, then `runs` times."""
    with httpx.Client(base_url=f"{service.settings.collector_url}/api/v1", timeout=60) as http:
        newest = http.get("traces", params=[("project", PROJECT), ("limit", "500"), *window(timedelta(days=2), 0)])
        traces = [row["trace_id"] for row in newest.json()["rows"]]
        for question in QUESTIONS:
            for name, length in WINDOWS.items():
                asked = [question.parameters + window(length, run) for run in range(runs + 1)]
                paths = [(question.path, parameters) for parameters in asked]
                yield Took(question.name, name, time_each(http, paths), question.target_ms)
        some: list[tuple[str, Pairs]] = [
            (f"traces/{trace}", []) for trace in traces[:: max(1, len(traces) // (runs + 1))]
        ]
        yield Took("one trace", "any", time_each(http, some), TRACE_MS)
        for name, words in (
            ("rare word", RARE_WORD),
            ("part of it", RARE_WORD[1:-1]),
            ("a phrase in Japanese", RARE_PHRASE),
            ("a word of every text", "return"),
        ):
            searches: list[tuple[str, Pairs]] = [
                ("traces", [("search", words), ("limit", "50"), *window(WINDOWS["30 d"], run)])
                for run in range(runs + 1)
            ]
            yield Took(f"search for {name}", "30 d", time_each(http, searches), SEARCH_MS)


def window(length: timedelta, run: int) -> Pairs:
    end = datetime.now(UTC) - timedelta(minutes=2, seconds=7 * run)
    return [("start", (end - length).isoformat()), ("end", end.isoformat())]


def time_each(http: httpx.Client, questions: list[tuple[str, Pairs]]) -> list[float]:
    """Milliseconds of each but the first."""
    times = []
    for path, parameters in questions:
        begun = time.perf_counter()
        reply = http.get(path, params=[("project", PROJECT), *parameters])
        times.append((time.perf_counter() - begun) * 1000)
        if reply.status_code != 200:
            raise SystemExit(f"{path} {parameters}: {reply.status_code} {reply.text[:500]}")
    return times[1:]


def render(took: list[Took]) -> str:
    """A row a question, a column a window: median and 95th percentile."""
    lines = ["| question | window | p50 ms | p95 ms | at most | |", "| --- | --- | ---: | ---: | ---: | --- |"]
    mark: Callable[[Took], str] = lambda one: "" if one.p95_ms <= one.target_ms else "missed"  # noqa: E731
    lines += [
        f"| {one.question} | {one.window} | {statistics.median(one.ms):.0f} | {one.p95_ms:.0f} | {one.target_ms} "
        f"| {mark(one)} |"
        for one in took
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
