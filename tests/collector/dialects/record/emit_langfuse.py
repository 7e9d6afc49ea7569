"""Langfuse's SDK: its drop-in OpenAI client, and observations of type agent, retriever and tool."""

import os

import langfuse
import openai
import scenario
from langfuse.openai import OpenAI

client = langfuse.Langfuse(
    public_key="pk-none", secret_key="sk-none", base_url=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"], environment="test"
)
calls = scenario.OpenAICalls(OpenAI(base_url=os.environ["BACKEND_URL"] + "/v1", api_key="none", max_retries=0))

with (
    client.start_as_current_observation(name="assistant", as_type="agent", input=scenario.QUESTION) as agent,
    langfuse.propagate_attributes(user_id=scenario.USER, session_id=scenario.SESSION, tags=["fixture"]),
):
    calls.embed()
    with client.start_as_current_observation(name="retrieve", as_type="retriever", input=scenario.QUESTION) as found:
        found.update(output=scenario.DOCUMENTS)
    agent.update(output=calls.unary())
    calls.streamed()
    arguments = calls.ask_for_tool()
    with client.start_as_current_observation(name="get_weather", as_type="tool", input=arguments) as tool:
        tool.update(output=scenario.get_weather(**arguments))
    calls.fail(openai.InternalServerError)

client.flush()
