"""OpenLLMetry (traceloop-sdk), today's and the old 0.40, around the OpenAI SDK: workflow, task and tool decorators."""

import os

os.environ["TRACELOOP_TELEMETRY"] = "false"

import openai
import scenario
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import task, tool, workflow

Traceloop.init(
    app_name="assistant", api_endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"], api_key="none", disable_batch=True
)
calls = scenario.OpenAICalls(openai.OpenAI(base_url=os.environ["BACKEND_URL"] + "/v1", api_key="none", max_retries=0))
get_weather = tool(name="get_weather")(scenario.get_weather)


@task(name="retrieve")
def retrieve(query: str) -> list[str]:
    return [text for text in scenario.DOCUMENTS if query]


@workflow(name="assistant")
def answer(question: str) -> str:
    calls.embed()
    retrieve(question)
    text = calls.unary()
    calls.streamed()
    get_weather(**calls.ask_for_tool())
    calls.fail(openai.InternalServerError)
    return text


Traceloop.set_association_properties({"user_id": scenario.USER, "session_id": scenario.SESSION})
answer(scenario.QUESTION)
