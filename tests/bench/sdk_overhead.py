"""CPU cost of `@spanwell.trace` a call, beside OpenTelemetry used by hand for the same record.

python -m tests.bench.sdk_overhead
"""

import inspect
import json
import sys
import time
from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import spanwell
from spanwell.setup import OFF, Runtime, install

CALLS = 1000
ROUNDS = 30  # the least disturbed one counts


class Discard(SpanExporter):
    """Takes spans and does nothing with them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS


def answer(question: str, limit: int, options: dict[str, object]) -> dict[str, object]:
    return {"text": question, "limit": limit, "options": options}


def by_hand(provider: TracerProvider) -> Callable[..., object]:
    """What a careful user writes: bind the arguments, store both as JSON."""
    tracer, signature = provider.get_tracer("bench"), inspect.signature(answer)

    def call(*args: object) -> object:
        with tracer.start_as_current_span("answer") as span:
            span.set_attribute("input", json.dumps(signature.bind(*args).arguments))
            result = answer(*args)  # type: ignore[arg-type]
            span.set_attribute("output", json.dumps(result))
            return result

    return call


def bare(provider: TracerProvider) -> Callable[..., object]:
    """A span and nothing on it."""
    tracer = provider.get_tracer("bench")

    def call(*args: object) -> object:
        with tracer.start_as_current_span("answer"):
            return answer(*args)  # type: ignore[arg-type]

    return call


def measure(call: Callable[..., object]) -> float:
    """Microseconds of this thread's CPU a call."""
    arguments = ("Where is my parcel?", 5, {"language": "en", "tags": ["a", "b"]})
    started = time.thread_time()
    for _ in range(CALLS):
        call(*arguments)
    return (time.thread_time() - started) / CALLS * 1e6


def main() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Discard(), max_queue_size=100_000))
    install(Runtime(provider.get_tracer("spanwell"), True, OFF.put_score, OFF.flush, OFF.close))
    variants: dict[str, Callable[..., object]] = {
        "plain call": answer,
        "OpenTelemetry, bare span": bare(provider),
        "OpenTelemetry, input and output": by_hand(provider),
        "spanwell.trace, no content": spanwell.trace(capture_input=False, capture_output=False)(answer),
        "spanwell.trace": spanwell.trace(answer),
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, call in variants.items():
            times[name].append(measure(call))
    for name, measured in times.items():
        sys.stdout.write(f"{name:34} {min(measured):6.1f} us CPU a call\n")


if __name__ == "__main__":
    main()
