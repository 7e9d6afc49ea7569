"""Spans and scores on their way to a real HTTP server: retries, counts, limits, and a collector that is away."""

import logging
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from spanwell.delivery import judge
from spanwell.endpoint import Endpoint, read_endpoint
from spanwell.health import free_port
from spanwell.outbox import Answer, Delivery, Outbox
from spanwell.pipeline import Pipeline
from tests.sdk.sink import Sink, running_sink, wait_until

NOWHERE = "http://127.0.0.1:9"  # discard: nobody listens


@pytest.fixture(name="sink")
def sink_server() -> Iterator[Sink]:
    with running_sink() as sink:
        yield sink


def make_pipeline(url: str, token: str | None = None, environ: dict[str, str] | None = None) -> tuple[Pipeline, Tracer]:
    pipeline = Pipeline(read_endpoint(url, token, environ or {}), {"spanwell.app": "shop"})
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(pipeline)
    return pipeline, provider.get_tracer("test")


def make_spans(tracer: Tracer, names: Sequence[str]) -> None:
    for name in names:
        tracer.start_span(name).end()


def test_spans_arrive_with_the_ledger_on_their_resource(sink: Sink) -> None:
    pipeline, tracer = make_pipeline(sink.url)

    make_spans(tracer, ["a", "b"])
    pipeline.flush(5)
    make_spans(tracer, ["c"])

    assert pipeline.flush(5) == Delivery(delivered=3, dropped=0, waiting=0)
    assert sink.names == ["a", "b", "c"]
    ledger = [
        [resource[f"spanwell.batch.{name}"] for name in ("first", "spans", "dropped")] for resource in sink.resources
    ]
    assert ledger == [[0, 2, 0], [2, 1, 0]]
    assert {resource["spanwell.app"] for resource in sink.resources} == {"shop"}
    assert len({resource["service.instance.id"] for resource in sink.resources}) == 1


def test_spans_are_delivered_without_being_asked(sink: Sink) -> None:
    _, tracer = make_pipeline(sink.url)

    make_spans(tracer, ["a"])

    assert wait_until(lambda: sink.names == ["a"], seconds=2)


def test_a_busy_collector_gets_the_same_batch_again(sink: Sink) -> None:
    sink.answers = [(503, {"Retry-After": "0"}), (429, {})]
    pipeline, tracer = make_pipeline(sink.url)

    make_spans(tracer, ["a", "b"])

    assert pipeline.flush(5) == Delivery(delivered=2)
    assert sink.names == ["a", "b"]
    assert sink.resources[0]["spanwell.batch.first"] == 0


def test_a_refused_batch_is_dropped_and_counted_in_the_ledger(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    sink.answers = [(400, {})]
    pipeline, tracer = make_pipeline(sink.url)

    make_spans(tracer, ["a", "b"])
    pipeline.flush(5)
    make_spans(tracer, ["c"])

    assert pipeline.flush(5) == Delivery(delivered=1, dropped=2)
    assert (sink.resources[0]["spanwell.batch.first"], sink.resources[0]["spanwell.batch.dropped"]) == (0, 2)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "spanwell cannot deliver spans: the collector answered 400; they are dropped"
    ]


def test_a_redirect_is_no_delivery(sink: Sink) -> None:
    sink.answers = [(302, {"Location": "/elsewhere"})]
    pipeline, tracer = make_pipeline(sink.url)

    make_spans(tracer, ["a"])

    assert pipeline.flush(5) == Delivery(dropped=1)


def test_a_collector_that_is_away_costs_no_time_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    pipeline, tracer = make_pipeline(NOWHERE)
    make_spans(tracer, ["a", "b"])

    started = time.monotonic()
    counts = [pipeline.flush(5), pipeline.flush(5)]
    pipeline.close(5)

    assert time.monotonic() - started < 2
    assert counts == [Delivery(waiting=2), Delivery(waiting=2)]
    assert pipeline.spans.count() == Delivery(dropped=2)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


def test_spans_wait_for_a_collector_that_comes_back() -> None:
    port = free_port("127.0.0.1")
    pipeline, tracer = make_pipeline(f"http://127.0.0.1:{port}")
    make_spans(tracer, ["a"])
    pipeline.flush(1)

    with running_sink(port) as late:
        assert wait_until(lambda: late.names == ["a"], seconds=5)


def test_a_slow_collector_bounds_a_flush_and_an_end(sink: Sink) -> None:
    sink.delay_s = 1.0
    pipeline, tracer = make_pipeline(sink.url)
    make_spans(tracer, ["a"])

    started = time.monotonic()
    counts = pipeline.flush(0.1)

    assert counts == Delivery(waiting=1)
    assert time.monotonic() - started < 0.6


def test_one_span_that_cannot_be_encoded_is_dropped_alone(sink: Sink) -> None:
    pipeline, tracer = make_pipeline(sink.url)

    tracer.start_span("good").end()
    tracer.start_span("bad \ud800").end()

    assert pipeline.flush(5) == Delivery(delivered=1, dropped=1)
    assert sink.names == ["good"]


def test_scores_are_posted_with_the_token(sink: Sink) -> None:
    pipeline, _ = make_pipeline(sink.url, token="secret-token")

    pipeline.scores.put({"name": "helpful", "value": 1.0})

    assert pipeline.flush(5) == Delivery(delivered=1)
    assert sink.scores == [{"name": "helpful", "value": 1.0}]
    assert sink.headers[0]["authorization"] == "Bearer secret-token"


def test_standard_headers_and_compression_are_honoured(sink: Sink) -> None:
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20b", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
    pipeline, tracer = make_pipeline(sink.url, environ=environ)

    make_spans(tracer, ["a"])
    pipeline.flush(5)

    assert sink.names == ["a"]
    assert (sink.headers[0]["x-tenant"], sink.headers[0]["content-encoding"]) == ("a b", "gzip")


def test_a_full_outbox_drops_the_newest_and_counts() -> None:
    sent: list[int] = []

    def send(batch: Sequence[int], _: Delivery) -> Answer:
        sent.extend(batch)
        return Answer("stored")

    outbox = Outbox("numbers", send, capacity=3, batch_size=10, delay_s=60)
    for number in range(5):
        outbox.put(number)
    outbox.close(time.monotonic() + 5)

    assert sent == [0, 1, 2]
    assert outbox.count() == Delivery(delivered=3, dropped=2)


def test_a_batch_is_sent_again_with_the_counts_it_had() -> None:
    seen: list[Delivery] = []

    def send(batch: Sequence[int], so_far: Delivery) -> Answer:
        seen.append(so_far)
        for item in range(3):
            outbox.put(item)  # one waits, the others are dropped
        return Answer("later" if len(seen) == 1 else "stored")

    outbox = Outbox("numbers", send, capacity=1, batch_size=1, delay_s=0)
    outbox.put(0)
    outbox.close(time.monotonic() + 5)

    assert seen[0] == seen[1]


def test_a_closed_outbox_takes_no_more() -> None:
    outbox: Outbox[int] = Outbox("numbers", lambda *_: Answer("stored"), capacity=3, batch_size=1, delay_s=0)
    outbox.close(time.monotonic())

    outbox.put(1)

    assert outbox.count() == Delivery(dropped=1)


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [
        (429, "7", Answer("later", "the collector answered 429", 7.0)),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", Answer("later", "the collector answered 503")),
        (503, "999999", Answer("later", "the collector answered 503", 60.0)),
        (500, None, Answer("refused", "the collector answered 500")),
        (413, None, Answer("refused", "the collector answered 413")),
    ],
)
def test_statuses_mean_what_otlp_says(status: int, retry_after: str | None, expected: Answer) -> None:
    assert judge(status, retry_after) == expected


def test_a_header_that_holds_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Endpoint("http://x", "http://x", {"authorization": "Bearer secret"}))
