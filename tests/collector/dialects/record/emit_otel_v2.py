"""OpenTelemetry's own opentelemetry-instrumentation-openai-v2, in spans the application made by hand.

As it is by default: the old conventions, content in log records, ids on the application's root span alone.
"""

import os

os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "true"

import openai
import scenario
import tracing
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

IDS = {"user.id": scenario.USER, "session.id": scenario.SESSION}


def answer() -> None:
    """The scenario, once the providers of every signal are set."""
    OpenAIInstrumentor().instrument()
    tracer = tracing.start().get_tracer("assistant")
    calls = scenario.OpenAICalls(openai.OpenAI(base_url=tracing.BACKEND_URL + "/v1", api_key="none", max_retries=0))
    with tracer.start_as_current_span("assistant", attributes=IDS):
        calls.embed()
        with tracer.start_as_current_span("retrieve") as retrieval:
            retrieval.set_attribute("documents", scenario.DOCUMENTS)
        calls.unary()
        calls.streamed()
        arguments = calls.ask_for_tool()
        with tracer.start_as_current_span("get_weather") as tool:
            tool.set_attribute("result", scenario.get_weather(**arguments))
        calls.fail(openai.InternalServerError)


if __name__ == "__main__":
    tracing.start_logs_and_metrics()
    answer()
