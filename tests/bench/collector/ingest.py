"""What comes in, and how fast: `make bench-ingest`. Prints Markdown; every ratio is of one run on one machine.

Three tables: a flush into all tables by the engine beside decoding in Python; the acknowledgement at a steady pace, and
what a small load costs; the whole way from OTLP/HTTP to rows, beside Phoenix where its environment is given.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from spanwell_collector.dialects.compile import render_mapping
from spanwell_collector.dialects.mapping import load_mapping
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate
from spanwell_collector.store.pipeline.install import install_pipeline, render_pipeline
from tests.bench.collector import stored
from tests.bench.collector.payloads import make_requests
from tests.bench.collector.python_decode import PythonWriter
from tests.bench.collector.sending import send
from tests.bench.processes import busy_share, footprint

FLUSH_SPANS = 8192
TEXT_BYTES = (0, 2000)
Insert = Callable[[Sequence[bytes], str], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phoenix", type=Path, help="the python of Phoenix's environment; without it it is left out")
    parser.add_argument("--flushes", type=int, default=8, help="flushes a measurement")
    arguments = parser.parse_args()
    busy = busy_share()
    with tempfile.TemporaryDirectory(prefix="spanwell-ingest-") as folder:
        parts = [
            f"{busy:.0%} of the machine was busy with other things before the run.",
            flush_table(Path(folder) / "flush", arguments.flushes),
            pace_table(Path(folder)),
            arrival_table(Path(folder), arguments.phoenix),
        ]
    sys.stdout.write("\n\n".join(parts) + "\n")


def flush_table(path: Path, flushes: int) -> str:
    """Spans a second of one flush into every table and view, both ways, alternating so that noise meets both."""
    store = Store(path=path)
    migrate(store, load_migrations())
    install_pipeline(store, render_pipeline(render_mapping(load_mapping())))
    python = PythonWriter(str(path))
    ways: dict[str, Insert] = {
        "engine": lambda batches, token: store.insert_otlp(batches, project="bench", token=token),
        "Python": python.insert,
    }
    lines = [
        f"**A flush of {FLUSH_SPANS} spans into spans, texts and trace index, {flushes} each**",
        "",
        "| texts a span | engine, spans/s | Python, spans/s | engine ÷ Python | CPU µs a span, engine | Python |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for text_bytes in TEXT_BYTES:
        wall: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(flushes):
            for name, insert in ways.items():
                batches = list(
                    make_requests(FLUSH_SPANS, per_request=512, text_bytes=text_bytes, seed=hash((name, number)))
                )
                begun, burnt = time.perf_counter(), time.process_time()
                insert(batches, f"{name}-{text_bytes}-{number}")
                wall[name].append(time.perf_counter() - begun)
                cpu[name].append(time.process_time() - burnt)
        speed = {name: FLUSH_SPANS / statistics.median(times) for name, times in wall.items()}
        cost = {name: statistics.median(times) / FLUSH_SPANS * 1e6 for name, times in cpu.items()}
        lines.append(
            f"| {text_bytes} bytes | {speed['engine']:,.0f} | {speed['Python']:,.0f} "
            f"| {speed['engine'] / speed['Python']:.1f} | {cost['engine']:.1f} | {cost['Python']:.1f} |"
        )
    python.close()
    store.close()
    return "\n".join(lines)


def pace_table(folder: Path) -> str:
    """Acknowledgement and cost at a steady pace, with texts; the collector has a core of its own."""
    lines = [
        "**At a steady pace, texts of 2000 bytes, every acknowledgement after an fsync**",
        "",
        "| spans/s | ack p50 ms | ack p99 ms | CPU of one core | RSS before MB | RSS after MB | stored |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for per_second, per_request, seconds in ((1, 1, 20), (2000, 100, 20)):
        place = folder / f"pace-{per_second}"
        place.mkdir()
        with stored.spanwell(place) as receiver:
            before = footprint(receiver.pid)
            spans = per_second * seconds
            requests = list(make_requests(spans, per_request=per_request, text_bytes=2000))
            sent = send(receiver.url, requests, connections=16, per_second=per_second / per_request)
            after = footprint(receiver.pid)
            count = _await(receiver, spans)
        lines.append(
            f"| {per_second:,} | {sent.percentile_ms(50):.1f} | {sent.percentile_ms(99):.1f} "
            f"| {(after.cpu_s - before.cpu_s) / sent.seconds:.1%} | {before.rss_mb:,.0f} | {after.rss_mb:,.0f} "
            f"| {count:,} of {spans:,} |"
        )
    return "\n".join(lines)


def arrival_table(folder: Path, phoenix: Path | None) -> str:
    """From the first byte sent until every span is stored: 500 spans a request, texts of 2000 bytes."""
    lines = [
        "**All the way: OTLP/HTTP, 500 spans a request, texts of 2000 bytes, four connections, until all are stored**",
        "",
        "| receiver | spans | seconds | spans/s | RSS MB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    speeds: dict[str, float] = {}
    starts = [(stored.spanwell(_made(folder / "spanwell")), 100_000)]
    if phoenix:
        starts.append((stored.phoenix(_made(folder / "phoenix"), phoenix), 2_000))
    for start, spans in starts:
        requests = list(make_requests(spans, per_request=500, text_bytes=2000))
        with start as receiver:
            begun = time.perf_counter()
            send(receiver.url, requests, connections=4)
            _await(receiver, spans)
            seconds = time.perf_counter() - begun
            speeds[receiver.name] = spans / seconds
            rss = footprint(receiver.pid).rss_mb
        lines.append(f"| {receiver.name} | {spans:,} | {seconds:.1f} | {spans / seconds:,.0f} | {rss:,.0f} |")
    if phoenix:
        lines.append(f"\nSpanwell ÷ Phoenix: {speeds['Spanwell'] / speeds['Phoenix']:,.0f}")
    return "\n".join(lines)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _await(receiver: stored.Receiver, spans: int, seconds: float = 300) -> int:
    deadline = time.monotonic() + seconds
    while (count := receiver.count()) < spans and time.monotonic() < deadline:
        time.sleep(0.1)
    return count


if __name__ == "__main__":
    main()
