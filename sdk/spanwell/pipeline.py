"""Spans and scores from this process to the collector. The one module of the SDK that loads OpenTelemetry's SDK."""

import gzip
import json
import os
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from secrets import token_hex
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

from spanwell import conventions as names
from spanwell.delivery import make_opener, post
from spanwell.endpoint import Endpoint
from spanwell.errors import shielded
from spanwell.outbox import Answer, Delivery, Outbox
from spanwell.sessions import attributes

SPAN_CAPACITY = 8192
SPAN_BATCH = 512  # 1 MB or so of ordinary spans
SCORE_CAPACITY = 1024
SCORE_BATCH = 64
DELAY_S = 0.5


class Pipeline(SpanProcessor):
    """Takes every span that ends, and scores. `resource` is stamped on each batch, over what the provider says."""

    def __init__(self, endpoint: Endpoint, resource: Mapping[str, str]) -> None:
        self._endpoint = endpoint
        self._resource = resource
        self._opener = make_opener(endpoint.traces_url, _tls(endpoint))
        self._instance = token_hex(4)
        self.spans: Outbox[ReadableSpan] = Outbox(
            "spans", self._send_spans, capacity=SPAN_CAPACITY, batch_size=SPAN_BATCH, delay_s=DELAY_S
        )
        self.scores: Outbox[dict[str, Any]] = Outbox(
            "scores", self._send_scores, capacity=SCORE_CAPACITY, batch_size=SCORE_BATCH, delay_s=DELAY_S
        )
        os.register_at_fork(after_in_child=self._start_over)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if found := attributes(parent_context):
            span.set_attributes(found)

    def on_end(self, span: ReadableSpan) -> None:
        if span.context and span.context.trace_flags.sampled:
            self.spans.put(span)

    def flush(self, timeout_s: float) -> Delivery:
        """Deliver what waits, for at most `timeout_s`, and count spans and scores together."""
        deadline = time.monotonic() + timeout_s
        for outbox in (self.spans, self.scores):
            outbox.hurry()
        for outbox in (self.spans, self.scores):
            outbox.wait(deadline)
        return Delivery(*(sum(pair) for pair in zip(self.spans.count(), self.scores.count(), strict=True)))

    def close(self, timeout_s: float) -> None:
        """Deliver what waits, for at most `timeout_s`, and take no more."""
        deadline = time.monotonic() + timeout_s
        for outbox in (self.spans, self.scores):
            outbox.hurry()
        self.spans.close(deadline)
        self.scores.close(deadline)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self.flush(timeout_millis / 1000).waiting == 0

    def shutdown(self) -> None:
        """The provider's own end; ours is `close`, which the process reaches in any case."""
        self.flush(timeout_s=5.0)

    def _start_over(self) -> None:
        self._instance = token_hex(4)
        self.spans.reset()
        self.scores.reset()

    def _send_spans(self, batch: Sequence[ReadableSpan], so_far: Delivery) -> Answer:
        request, lost = encode(batch)
        stamp(request, self._resource, self._instance, so_far)
        body, headers = (
            request.SerializeToString(),
            {**self._endpoint.headers, "Content-Type": "application/x-protobuf"},
        )
        if self._endpoint.is_gzip:
            body, headers = gzip.compress(body, compresslevel=1), {**headers, "Content-Encoding": "gzip"}
        answer = post(self._opener, self._endpoint.traces_url, body, headers, self._endpoint.timeout_s)
        return replace(answer, lost=lost) if lost else answer

    def _send_scores(self, batch: Sequence[dict[str, Any]], so_far: Delivery) -> Answer:  # noqa: ARG002
        headers = {**self._endpoint.headers, "Content-Type": "application/json"}
        body = json.dumps(batch).encode()
        return post(self._opener, self._endpoint.scores_url, body, headers, self._endpoint.timeout_s)


def encode(batch: Sequence[ReadableSpan]) -> tuple[ExportTraceServiceRequest, int]:
    """The batch as OTLP, and how many spans had to be left out: one odd name must not cost its neighbours."""
    with shielded("encode a batch"):
        return encode_spans(batch), 0
    sound = []
    for span in batch:
        with shielded("encode a span"):
            encode_spans([span])
            sound.append(span)
    return encode_spans(sound), len(batch) - len(sound)


def attach_to_provider(pipeline: Pipeline) -> trace.TracerProvider:
    """Add the pipeline to the host's provider; if there is none, become it."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.add_span_processor(pipeline)
        return provider
    own = TracerProvider(shutdown_on_exit=False)
    own.add_span_processor(pipeline)
    if isinstance(provider, trace.ProxyTracerProvider):
        trace.set_tracer_provider(own)
    return own


def stamp(request: ExportTraceServiceRequest, extra: Mapping[str, str], instance: str, so_far: Delivery) -> None:
    """Write the ledger and `extra` into each resource: the number of its first span, how many, and the drops so far."""
    first = so_far.delivered
    for group in request.resource_spans:
        spans = sum(len(scope.spans) for scope in group.scope_spans)
        given = {item.key: item.value.string_value for item in group.resource.attributes}
        host_instance = given.get(names.SERVICE_INSTANCE_ID)
        texts = {**extra, names.SERVICE_INSTANCE_ID: f"{host_instance}-{instance}" if host_instance else instance}
        counts = {names.BATCH_FIRST: first, names.BATCH_SPANS: spans, names.BATCH_DROPPED: so_far.dropped}
        _replace(group.resource, {name: AnyValue(string_value=text) for name, text in texts.items()})
        _replace(group.resource, {name: AnyValue(int_value=count) for name, count in counts.items()})
        first += spans


def _replace(resource: Resource, values: Mapping[str, AnyValue]) -> None:
    kept = [item for item in resource.attributes if item.key not in values]
    del resource.attributes[:]
    resource.attributes.extend(kept)
    resource.attributes.extend(KeyValue(key=name, value=value) for name, value in values.items())


def _tls(endpoint: Endpoint) -> ssl.SSLContext | None:
    if not endpoint.certificate and not endpoint.client_certificate:
        return None
    tls = ssl.create_default_context(cafile=endpoint.certificate or None)
    if endpoint.client_certificate:
        tls.load_cert_chain(endpoint.client_certificate, endpoint.client_key or None)
    return tls
