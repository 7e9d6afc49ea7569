"""From a server's /metrics to what its calls cost, with a real worker and a real collector."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from spanwell_collector.worker.client import CollectorClient
from spanwell_collector.worker.scrape import Scraper, backend_client
from spanwell_collector.worker.sections import Backend
from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import Client, connect, poll
from tests.collector.worker.processes import bare_environ, running
from tests.services import LOOPBACK, start_collector

SHOWN = Path(__file__).parents[1] / "dialects/fixtures/vllm.prometheus.txt"
BUSY = SHOWN.read_bytes().replace(
    b'_running{engine="0",model_name="tiny"} 0.0', b'_running{engine="0",model_name="tiny"} 3.0'
)


class Vllm(BaseHTTPRequestHandler):
    """Shows what a server that runs three requests shows."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(BUSY)))
        self.end_headers()
        self.wfile.write(BUSY)

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def backend() -> Iterator[str]:
    """Its host and port."""
    with ThreadingHTTPServer((LOOPBACK, 0), Vllm) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{LOOPBACK}:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, backend: str) -> Path:
    """Holds spanwell.yaml, which names a backend that answers and one that does not."""
    home = tmp_path_factory.mktemp("scrape")
    pool = {"model": "tiny", "usd_per_hour": 8, "capacity": 4, "metrics_url": f"http://{backend}/metrics"}
    away = {"model": "gone", "usd_per_hour": 1, "metrics_url": "http://127.0.0.1:9/metrics"}
    (home / "spanwell.yaml").write_text(json.dumps({"drift": {"enabled": False}, "gpu_hours": [pool, away]}))
    return home


@pytest.fixture(scope="module")
def own(home: Path) -> Iterator[Client]:
    service = start_collector(home / "data", {"SPANWELL_CONFIG": str(home / "spanwell.yaml")})
    with connect(service) as client:
        yield client
    assert service.stop() == 0


def ask(collector: Client, sql: str) -> list[list[Any]]:
    url = f"http://{LOOPBACK}:{collector.service.settings.sql_port}"
    reply = httpx.get(url, params={"query": f"{sql} FORMAT JSONCompact"}, timeout=30)
    assert reply.status_code == 200, reply.text
    rows: list[list[Any]] = reply.json()["data"]
    return rows


def test_the_worker_scrapes_what_the_section_names(own: Client, home: Path, backend: str) -> None:
    sql = "SELECT project, service, instance, value FROM spanwell.metrics WHERE name = 'vllm:num_requests_running'"

    with running(bare_environ() | own.service.settings.environ()) as worker:
        rows = poll(lambda: ask(own, sql), bool, seconds=30)
        worker.terminate()
        assert worker.wait(30) == 0

    log = (home / "data.log").read_text()
    assert rows == [["default", "vllm", backend, 3]]
    assert log.count("no measurements of 127.0.0.1:9: ConnectError") == 1
    assert backend not in log


async def test_an_hour_that_was_scraped_is_spread_over_its_calls(own: Client, backend: str) -> None:
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    then = hour + timedelta(minutes=30)
    used = call(gen_ai__request__model="tiny", gen_ai__usage__input_tokens=90, gen_ai__usage__output_tokens=10)
    own.send(make_batch([SpanIn(ago_s=(now - then).total_seconds(), attributes=used)]))
    async with backend_client() as http, httpx.AsyncClient(base_url=own.service.settings.collector_url) as ours:
        target = Backend(f"http://{backend}/metrics", backend, "")
        await Scraper(target, http, CollectorClient(ours, "default"), lambda: then).scrape()
    stored = (
        "SELECT (SELECT count() FROM spanwell.metrics WHERE ts < now() - 3600) > 0 AND count() > 0 FROM spanwell.spans"
    )
    poll(lambda: ask(own, stored), lambda rows: rows == [[1]])

    window = {"start": hour.isoformat(), "end": (hour + timedelta(hours=1)).isoformat()}
    own.http.post("/api/v1/prices/reprice", params=window).raise_for_status()

    sql = "SELECT busy_share, samples, toFloat64(busy_usd), calls FROM spanwell.gpu_hours FINAL WHERE model = 'tiny'"
    assert ask(own, f"{sql} AND hour = '{hour:%Y-%m-%d %H:%M:%S}'") == [[0.75, 1, 6, 1]]
    assert ask(own, "SELECT toFloat64(cost_usd), cost_source FROM spanwell.spans") == [[6, "priced"]]
