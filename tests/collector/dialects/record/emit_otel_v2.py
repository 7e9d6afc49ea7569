"""OpenTelemetry's own opentelemetry-instrumentation-openai-v2, in spans the application made by hand.

As it is by default: content in log records. The same script serves the old 2.1b0.
"""

import os

os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "true"

import openai
import scenario
import tracing
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

tracer = tracing.start().get_tracer("assistant")
tracing.start_logs_and_metrics()
OpenAIInstrumentor().instrument()
calls = scenario.OpenAICalls(openai.OpenAI(base_url=tracing.BACKEND_URL + "/v1", api_key="none", max_retries=0))
IDS = {"user.id": scenario.USER, "session.id": scenario.SESSION}

with tracer.start_as_current_span("assistant", attributes=IDS):
    calls.embed()
    with tracer.start_as_current_span("retrieve"):
        documents = scenario.DOCUMENTS
    calls.unary()
    calls.streamed()
    arguments = calls.ask_for_tool()
    with tracer.start_as_current_span("get_weather"):
        scenario.get_weather(**arguments)
    calls.fail(openai.InternalServerError)
