"""One backend scraped, between real HTTP servers: whatever it does is a warning, and no more than one a minute."""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from spanwell_collector.worker.client import CollectorClient
from spanwell_collector.worker.scrape import HEADERS, MOST_BYTES, Scraper, backend_client
from spanwell_collector.worker.sections import Backend
from tests.collector.worker.fakes import NOW, served

TEXT = b'# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{model_name="m",engine="0"} 3\n'
NOBODY = "http://127.0.0.1:9"


class Neighbours:
    """A backend that answers with `answer`, and a collector that keeps what is posted to it, in one server."""

    def __init__(self, answer: Response, status: int = 200) -> None:
        self.answer = answer
        self.status = status
        self.asked: list[Request] = []
        self.posted: list[bytes] = []

    def app(self) -> Starlette:
        return Starlette(
            routes=[Route("/metrics", self._show), Route("/v1/metrics", self._take, methods=["POST"])],
        )

    async def _show(self, request: Request) -> Response:
        self.asked.append(request)
        return self.answer

    async def _take(self, request: Request) -> Response:
        self.posted.append(await request.body())
        return Response(status_code=self.status)


async def scrape(url: str, *times: datetime, collector: str = "") -> None:
    """Scrape `url` once at each of `times`."""
    clock = iter(times)
    backend = Backend(f"{url}/metrics", "gpu-0:8000", "")
    async with backend_client() as http, httpx.AsyncClient(base_url=collector or url) as ours:
        scraper = Scraper(backend, http, CollectorClient(ours, "default"), lambda: next(clock))
        for _ in times:
            await scraper.scrape()


async def test_what_a_backend_shows_reaches_the_collector() -> None:
    neighbours = Neighbours(Response(TEXT))

    with served(neighbours.app()) as url:
        await scrape(url, NOW)

    (source,) = ExportMetricsServiceRequest.FromString(neighbours.posted[0]).resource_metrics
    point = source.scope_metrics[0].metrics[0].gauge.data_points[0]
    assert (point.as_double, point.time_unix_nano) == (3.0, int(NOW.timestamp()) * 10**9)
    assert neighbours.asked[0].headers["accept-encoding"] == HEADERS["accept-encoding"]


async def _drip() -> Any:
    for _ in range(MOST_BYTES // 2**16 + 2):
        yield bytes(2**16)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Response(status_code=500), "it answered 500"),
        (RedirectResponse("http://127.0.0.1:9/secret"), "it answered 307"),
        (Response(b"\x1f\x8b", headers={"content-encoding": "gzip"}), "it answered compressed"),
        (Response(b"<html>"), "nothing named vllm"),
        (Response(b"vllm:{"), "not in Prometheus' text format"),
        (StreamingResponse(_drip()), "more than 8388608 bytes"),
    ],
)
async def test_what_is_no_measurement_is_a_warning(
    answer: Response, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    neighbours = Neighbours(answer)

    with served(neighbours.app()) as url:
        await scrape(url, NOW)

    assert neighbours.posted == []
    assert [record.levelname for record in caplog.records if record.name.startswith("spanwell")] == ["WARNING"]
    assert "no measurements of gpu-0:8000: " in caplog.text
    assert said in caplog.text


async def test_a_backend_that_drips_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def never() -> Any:
        while True:
            yield b"#\n"
            await asyncio.sleep(0.05)

    monkeypatch.setattr("spanwell_collector.worker.scrape.FETCH_SECONDS", 0.2)

    with served(Neighbours(StreamingResponse(never())).app()) as url:
        await scrape(url, NOW)

    assert "TimeoutError" in caplog.text


async def test_a_backend_that_is_away_is_one_warning_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    await scrape(NOBODY, *(NOW + timedelta(seconds=15 * number) for number in range(9)))

    assert len(caplog.records) == 3


async def test_a_url_that_nobody_can_dial_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    await scrape("http://999.1.1.1:80", NOW, collector=NOBODY)
    await scrape("http://[::::]:80", NOW, collector=NOBODY)

    assert caplog.text.count("InvalidURL") == 2


async def test_a_collector_that_is_away_or_full_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    neighbours = Neighbours(Response(TEXT), status=503)

    with served(neighbours.app()) as url:
        await scrape(url, NOW)
        await scrape(url, NOW, collector=NOBODY)

    assert "POST /v1/metrics: collector answered 503" in caplog.text
    assert "POST /v1/metrics: ConnectError" in caplog.text
