"""OTLP over gRPC, called as exporters call it."""

import gzip
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from spanwell_collector.receivers.grpc import find_compression
from spanwell_collector.receivers.inflate import MAX_BODY_BYTES
from tests.collector.batches import SpanIn, make_batch
from tests.collector.conftest import Client
from tests.services import LOOPBACK, Service, start_collector

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def _open(service: Service) -> grpc.Channel:
    options = [("grpc.max_send_message_length", -1)]
    return grpc.insecure_channel(f"{LOOPBACK}:{service.settings.grpc_port}", options=options)


def _send(channel: grpc.Channel, body: bytes, **named: object) -> ExportTraceServiceResponse:
    export = channel.unary_unary(EXPORT)
    answer: ExportTraceServiceResponse = ExportTraceServiceResponse.FromString(export(body, timeout=20, **named))
    return answer


def _refusal(channel: grpc.Channel, body: bytes, **named: object) -> tuple[grpc.StatusCode, Status]:
    with pytest.raises(grpc.RpcError) as caught:
        _send(channel, body, **named)
    details = dict(caught.value.trailing_metadata()).get("grpc-status-details-bin", b"")
    return caught.value.code(), Status.FromString(details)


@pytest.fixture(scope="module")
def channel(service: Service) -> Iterator[grpc.Channel]:
    with _open(service) as channel:
        yield channel


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_a_batch_is_stored_however_it_is_compressed(
    collector: Client, channel: grpc.Channel, compression: grpc.Compression
) -> None:
    project = f"grpc-{compression.name}"
    batch = make_batch([SpanIn(trace=0x61), SpanIn(trace=0x62)], {"spanwell.project": project})

    answer = _send(channel, batch.SerializeToString(), compression=compression)

    assert answer == ExportTraceServiceResponse()
    assert collector.await_count(2, project=project) == 2


def test_an_empty_request_is_a_success(channel: grpc.Channel) -> None:
    assert _send(channel, b"") == ExportTraceServiceResponse()


def test_spans_that_cannot_be_stored_are_counted_and_the_others_kept(collector: Client, channel: grpc.Channel) -> None:
    batch = make_batch([SpanIn(trace=0x63), SpanIn(trace=0)], {"spanwell.project": "grpc-partial"})

    answer = _send(channel, batch.SerializeToString())

    assert answer.partial_success.rejected_spans == 1
    assert "trace_id" in answer.partial_success.error_message
    assert collector.await_count(1, project="grpc-partial") == 1


def test_bytes_that_are_no_request_are_an_invalid_argument(channel: grpc.Channel) -> None:
    code, status = _refusal(channel, b"not protobuf")

    assert (code, status.code) == (grpc.StatusCode.INVALID_ARGUMENT, 3)
    assert not status.details


def test_what_is_too_large_is_not_to_be_sent_again(channel: grpc.Channel) -> None:
    sent, _ = _refusal(channel, bytes(MAX_BODY_BYTES + 1))
    inflated, status = _refusal(channel, bytes(MAX_BODY_BYTES + 1), compression=grpc.Compression.Gzip)

    assert (sent, inflated) == (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert not status.details


def test_a_full_spool_says_when_to_come_again(tmp_path: Path) -> None:
    service = start_collector(tmp_path, {"SPANWELL_SPOOL_MAX_MB": "1", "SPANWELL_FLUSH_MS": "60000"})
    large = make_batch([SpanIn(attributes={"text": "x" * 1_100_000})]).SerializeToString()

    with _open(service) as channel:
        code, status = _refusal(channel, large)

    wait = RetryInfo()
    assert code == grpc.StatusCode.UNAVAILABLE
    assert status.details[0].Unpack(wait)
    assert wait.retry_delay.seconds == 2
    assert service.stop() == 0


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    service = start_collector(tmp_path, {"SPANWELL_API_TOKEN": "token-1"})
    body = ExportTraceServiceRequest().SerializeToString()

    with _open(service) as channel:
        code, _ = _refusal(channel, body)
        _send(channel, body, metadata=(("authorization", "Bearer token-1"),))

    assert code == grpc.StatusCode.UNAUTHENTICATED
    assert service.stop() == 0


def test_who_may_not_send_is_refused_before_the_message_is_read(tmp_path: Path) -> None:
    service = start_collector(tmp_path, {"SPANWELL_API_TOKEN": "token-1"})
    sent = threading.Event()

    def never_end() -> Iterator[bytes]:
        sent.wait(20)
        yield b""

    with _open(service) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(EXPORT)(never_end(), timeout=10, metadata=(("authorization", "Bearer guess"),))
    sent.set()

    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert service.stop() == 0


def test_compression_is_told_by_the_first_bytes() -> None:
    batch = make_batch([SpanIn()]).SerializeToString()

    bodies = (batch, gzip.compress(batch), zlib.compress(batch), b"")

    assert [find_compression(body) for body in bodies] == ["", "gzip", "deflate", ""]
