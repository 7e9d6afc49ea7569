"""OpenLLMetry (traceloop-sdk) around the Anthropic SDK, whose own spans come too: its siblings.

A last call at top level, where the two are roots of two traces, is joined by nothing but its response id.
"""

import os

os.environ["TRACELOOP_TELEMETRY"] = "false"

import anthropic
import scenario
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import tool, workflow

Traceloop.init(
    app_name="assistant", api_endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"], api_key="none", disable_batch=True
)
calls = scenario.AnthropicCalls(anthropic.Anthropic(base_url=os.environ["BACKEND_URL"], api_key="none", max_retries=0))
get_weather = tool(name="get_weather")(scenario.get_weather)


@workflow(name="assistant")
def answer(question: str) -> str:
    text = calls.unary() if question else ""
    calls.streamed()
    calls.streamed_by_helper()
    get_weather(**calls.ask_for_tool())
    calls.fail(anthropic.InternalServerError)
    return text


Traceloop.set_association_properties({"user_id": scenario.USER, "session_id": scenario.SESSION})
answer(scenario.QUESTION)
calls.unary()
