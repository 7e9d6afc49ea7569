"""Logfire around the OpenAI SDK; ids travel as baggage. A last stream at top level shows where its companion lands."""

import os

import logfire
import openai
import scenario

logfire.configure(send_to_logfire=False, console=False, metrics=False, inspect_arguments=False, service_version="1.0")
client = openai.OpenAI(base_url=os.environ["BACKEND_URL"] + "/v1", api_key="none", max_retries=0)
logfire.instrument_openai(client)
calls = scenario.OpenAICalls(client)

with logfire.set_baggage(user_id=scenario.USER, session_id=scenario.SESSION):
    with logfire.span("assistant", question=scenario.QUESTION):
        calls.embed()
        with logfire.span("retrieve", query=scenario.QUESTION) as retrieval:
            retrieval.set_attribute("documents", scenario.DOCUMENTS)
        calls.unary()
        calls.streamed()
        arguments = calls.ask_for_tool()
        with logfire.span("get_weather", arguments=arguments) as tool:
            tool.set_attribute("result", scenario.get_weather(**arguments))
        calls.fail(openai.InternalServerError)
    calls.streamed()

logfire.force_flush()
