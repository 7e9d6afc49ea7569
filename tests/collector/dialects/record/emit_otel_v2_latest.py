"""OpenTelemetry's own opentelemetry-instrumentation-openai-v2, latest conventions, content on span and event.

Workflow, retrieval and tool spans come from opentelemetry-util-genai. Ids sit on the workflow's span alone.
"""

import os

os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_AND_EVENT"
os.environ["OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT"] = "true"

import openai
import scenario
import tracing
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.util.genai.handler import get_telemetry_handler

tracing.start()
tracing.start_logs_and_metrics()
OpenAIInstrumentor().instrument()
handler = get_telemetry_handler()
calls = scenario.OpenAICalls(openai.OpenAI(base_url=tracing.BACKEND_URL + "/v1", api_key="none", max_retries=0))


def retrieve(query: str) -> None:
    with handler.retrieval(data_source_id="cities") as retrieval:
        retrieval.query_text = query
        retrieval.top_k = 2
        retrieval.documents = [
            {"id": f"doc-{index}", "content": text, "score": 0.9 - index / 2}
            for index, text in enumerate(scenario.DOCUMENTS)
        ]


with handler.workflow("assistant") as workflow:
    workflow.attributes |= {"user.id": scenario.USER, "gen_ai.conversation.id": scenario.SESSION}
    calls.embed()
    retrieve(scenario.QUESTION)
    calls.unary()
    calls.streamed()
    arguments = calls.ask_for_tool()
    with handler.tool("get_weather", tool_call_id="call_weather", tool_type="function") as tool:
        tool.arguments = arguments
        tool.tool_result = scenario.get_weather(**arguments)
    calls.fail(openai.InternalServerError)
