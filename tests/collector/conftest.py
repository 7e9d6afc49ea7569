"""One collector for all tests that only add to it; each keeps apart by a project of its own."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.services import Service, start_collector

PROTOBUF = {"content-type": "application/x-protobuf"}


class Client:
    """Talks to a collector as a sender and as a reader."""

    def __init__(self, service: Service, http: httpx.Client) -> None:
        self.service = service
        self.http = http

    def send(self, batch: ExportTraceServiceRequest, **headers: str) -> httpx.Response:
        return self.http.post("/v1/traces", content=batch.SerializeToString(), headers=PROTOBUF | headers)

    def ask(self, question: str, **parameters: Any) -> Any:
        reply = self.http.get(f"/api/v1/{question}", params=parameters)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def count(self, **parameters: Any) -> int:
        """Spans in the traces of the window."""
        rows = self.ask("traces", limit=500, **parameters)["rows"]
        return sum(row["spans"] for row in rows)

    def await_count(self, expected: int, **parameters: Any) -> int:
        """The count once it has reached `expected`, or after five seconds whatever it is then."""
        return int(poll(lambda: self.count(**parameters), lambda count: count >= expected))


@contextmanager
def connect(service: Service) -> Iterator[Client]:
    with httpx.Client(base_url=service.settings.collector_url, timeout=30) as http:
        yield Client(service, http)


def poll(ask: Callable[[], Any], enough: Callable[[Any], bool], *, seconds: float = 5) -> Any:
    """Ask until the answer is `enough` or the time is over; the last answer."""
    deadline = time.monotonic() + seconds
    while not enough(answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_collector(tmp_path_factory.mktemp("collector"))
    yield service
    assert service.stop() == 0


@pytest.fixture(scope="session")
def collector(service: Service) -> Iterator[Client]:
    with connect(service) as client:
        yield client
