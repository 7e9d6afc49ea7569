"""What stock OpenTelemetry exporters send is accepted, counted and stored exactly. JS runs where npm installed it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from tests.collector.conftest import poll
from tests.services import Service, start_collector

FOLDER = Path(__file__).parent
SPANS = 5_000
STORED = """
SELECT count() AS spans, uniqExact(span_id) AS ids, sum(input_tokens) AS tokens,
       countIf(attributes['load.text'] = concat('"quoted" \\\\ ✓ 漢字 ', toString(input_tokens))) AS texts,
       countIf(attributes['load.flag'] = 'true' AND attributes['load.ratio'] = '0.5'
               AND attributes['load.list'] = '["a","b"]') AS values,
       countIf(status = 'ok' AND kind = 'client' AND model = 'gpt-4o-mini') AS columns
FROM spanwell.spans
WHERE service = {service:String}
FORMAT JSONEachRow
"""
EXACT = {
    "spans": SPANS,
    "ids": SPANS,
    "tokens": SPANS * (SPANS - 1) // 2,
    "texts": SPANS,
    "values": SPANS,
    "columns": SPANS,
}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_collector(tmp_path_factory.mktemp("exporters"))
    yield service
    assert service.stop() == 0


def ask(collector: Service, service: str) -> dict[str, int]:
    """What the store holds of `service`, once it holds all of it."""

    def count() -> dict[str, int]:
        parameters = {"query": STORED, "param_service": service}
        row: dict[str, Any] = httpx.get(collector.settings.sql_url, params=parameters, timeout=30).json()
        return {name: int(value) for name, value in row.items()}

    stored: dict[str, int] = poll(count, lambda row: row["spans"] >= SPANS)
    return stored


def send(exporter: SpanExporter, service: str) -> None:
    provider = TracerProvider(resource=Resource({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=SPANS, max_export_batch_size=500))
    tracer = provider.get_tracer("load")
    for number in range(SPANS):
        with tracer.start_as_current_span(f"chat small {number}", kind=SpanKind.CLIENT) as span:
            span.set_attributes(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.request.model": "gpt-4o-mini",
                    "gen_ai.usage.input_tokens": number,
                    "gen_ai.usage.output_tokens": 7,
                    "load.text": f'"quoted" \\ ✓ 漢字 {number}',
                    "load.flag": True,
                    "load.ratio": 0.5,
                    "load.list": ["a", "b"],
                }
            )
            span.set_status(Status(StatusCode.OK))
    assert provider.force_flush()
    provider.shutdown()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_the_python_exporter_over_http(collector: Service, compression: Compression) -> None:
    url = f"{collector.settings.collector_url}/v1/traces"

    send(HttpExporter(endpoint=url, compression=compression), f"python-http-{compression.value}")

    assert ask(collector, f"python-http-{compression.value}") == EXACT


def test_the_python_exporter_over_grpc(collector: Service) -> None:
    send(GrpcExporter(endpoint=f"127.0.0.1:{collector.settings.grpc_port}", insecure=True), "python-grpc")

    assert ask(collector, "python-grpc") == EXACT


@pytest.mark.npm
@pytest.mark.parametrize("kind", ["json", "proto", "grpc"])
def test_the_javascript_exporter(collector: Service, kind: str) -> None:
    grpc, http = f"http://127.0.0.1:{collector.settings.grpc_port}", f"{collector.settings.collector_url}/v1/traces"
    command = ["node", "send.mjs", kind, grpc if kind == "grpc" else http, str(SPANS)]

    done = subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, timeout=120)

    assert json.loads(done.stdout) == {"accepted": SPANS, "refused": 0}
    assert ask(collector, f"js-{kind}") == EXACT
