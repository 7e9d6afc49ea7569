"""What the receiver accepts and refuses, over HTTP."""

import gzip
import socket

import pytest
from backports import zstd
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from spanwell_collector.receivers.checks import read_request
from spanwell_collector.receivers.inflate import MAX_BODY_BYTES, inflate
from spanwell_collector.receivers.refusals import PROTOBUF as PROTOBUF_TYPE
from spanwell_collector.receivers.refusals import RefusedError
from spanwell_collector.receivers.signals import SIGNALS
from tests.collector.batches import SpanIn, make_batch
from tests.collector.conftest import PROTOBUF, Client
from tests.services import LOOPBACK

BATCH = make_batch([SpanIn()]).SerializeToString()


def test_a_batch_is_answered_with_an_empty_success(collector: Client) -> None:
    reply = collector.send(make_batch([SpanIn(trace=0xA1)], {"spanwell.project": "otlp"}))

    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/x-protobuf"
    assert ExportTraceServiceResponse.FromString(reply.content) == ExportTraceServiceResponse()


def test_a_gzip_batch_is_stored(collector: Client) -> None:
    batch = make_batch([SpanIn(trace=0xA2)], {"spanwell.project": "gzip"}).SerializeToString()

    reply = collector.http.post(
        "/v1/traces", content=gzip.compress(batch), headers=PROTOBUF | {"content-encoding": "gzip"}
    )

    assert reply.status_code == 200
    assert collector.await_count(1, project="gzip") == 1


def test_an_empty_request_is_a_success(collector: Client) -> None:
    reply = collector.send(ExportTraceServiceRequest())

    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, b"not protobuf", {}),
        (400, BATCH[:-3], {}),
        (400, b"not gzip", {"content-encoding": "gzip"}),
        (400, gzip.compress(BATCH)[:-5], {"content-encoding": "gzip"}),
        (413, gzip.compress(bytes(MAX_BODY_BYTES + 1), 1), {"content-encoding": "gzip"}),
        (415, BATCH, {"content-encoding": "br"}),
        (415, b"{}", {"content-type": "text/json"}),
        (415, BATCH, {"content-type": ""}),
    ],
)
def test_a_bad_request_is_refused_with_a_status(
    collector: Client, status: int, body: bytes, headers: dict[str, str]
) -> None:
    reply = collector.http.post("/v1/traces", content=body, headers=PROTOBUF | headers)

    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/x-protobuf"
    assert Status.FromString(reply.content).message


def test_a_bad_request_in_json_is_refused_in_json(collector: Client) -> None:
    reply = collector.http.post(
        "/v1/traces", content=b'{"resourceSpans": 3}', headers={"content-type": "application/json"}
    )

    assert (reply.status_code, reply.headers["content-type"]) == (400, "application/json")
    assert reply.json() == {"code": 3, "message": "resourceSpans: a list is needed"}


@pytest.mark.parametrize("path", ["/v1/logs", "/v1/metrics", "/api/public/otel/v1/traces"])
def test_every_path_answers_an_empty_request(collector: Client, path: str) -> None:
    assert collector.http.post(path, content=b"", headers=PROTOBUF).status_code == 200
    assert collector.http.post(path, json={}).json() == {}


def test_a_zstd_batch_is_stored(collector: Client) -> None:
    batch = make_batch([SpanIn(trace=0xA3)], {"spanwell.project": "zstd"}).SerializeToString()

    collector.http.post("/v1/traces", content=zstd.compress(batch), headers=PROTOBUF | {"content-encoding": "zstd"})

    assert collector.await_count(1, project="zstd") == 1


def test_a_body_that_declares_too_much_is_refused_unread(collector: Client) -> None:
    head = f"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n"

    with socket.create_connection((LOOPBACK, collector.service.settings.collector_port), timeout=10) as sender:
        sender.sendall(f"{head}Content-Type: application/x-protobuf\r\n\r\n".encode())
        answer = sender.recv(64)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_get_is_not_allowed(collector: Client) -> None:
    reply = collector.http.get("/v1/traces")

    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")


def test_a_page_of_this_machine_may_send_and_one_from_elsewhere_may_not(collector: Client) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-api-key"}
    here, elsewhere = {"origin": "http://localhost:5173"}, {"origin": "https://shop.example"}

    allowed = collector.http.options("/v1/traces", headers=asked | here)
    answered = collector.http.post("/v1/traces", json={}, headers=here)
    refused = collector.http.options("/v1/traces", headers=asked | elsewhere)

    assert (allowed.status_code, allowed.headers["access-control-allow-methods"]) == (204, "POST")
    assert allowed.headers["access-control-allow-headers"] == "content-type,x-api-key"
    assert allowed.headers["access-control-allow-origin"] == here["origin"]
    assert (answered.status_code, answered.headers["access-control-allow-origin"]) == (200, here["origin"])
    assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (403, False)


def test_a_sender_that_asks_first_is_told_to_go_on(collector: Client) -> None:
    head = f"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BATCH)}\r\nExpect: 100-continue\r\n"

    with socket.create_connection((LOOPBACK, collector.service.settings.collector_port), timeout=10) as sender:
        sender.sendall(f"{head}Content-Type: application/x-protobuf\r\n\r\n".encode())
        told = sender.recv(64)
        sender.sendall(BATCH)
        answer = sender.recv(64)

    assert told.startswith(b"HTTP/1.1 100 ")
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_inflating_stops_at_the_limit() -> None:
    bomb = gzip.compress(bytes(10_000_000))

    with pytest.raises(RefusedError, match="larger than 1000 bytes"):
        inflate(bomb, "gzip", limit=1000)


@pytest.mark.parametrize("tag", [b"\xc2\x3e", b"\xc2\xbe\x00"])  # field 1000, default_project; and spelled longer
def test_a_sender_cannot_set_the_fields_that_are_ours(tag: bytes) -> None:
    ours = tag + b"\x04evil"

    accepted = read_request(SIGNALS[0], BATCH + ours, PROTOBUF_TYPE)

    assert accepted.record == b"\x01" + BATCH
    assert accepted.items == 1
