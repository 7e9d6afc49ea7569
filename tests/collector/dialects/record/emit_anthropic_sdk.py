"""The spans that the Anthropic SDK makes by itself once a tracer provider is set, under one span of the application."""

import anthropic
import scenario
import tracing

tracer = tracing.start().get_tracer("assistant")
calls = scenario.AnthropicCalls(anthropic.Anthropic(base_url=tracing.BACKEND_URL, api_key="none", max_retries=0))
IDS = {"user.id": scenario.USER, "session.id": scenario.SESSION}

with tracer.start_as_current_span("assistant", attributes=IDS):
    calls.unary()
    calls.streamed()
    calls.streamed_by_helper()
    arguments = calls.ask_for_tool()
    with tracer.start_as_current_span("get_weather"):
        scenario.get_weather(**arguments)
    calls.fail(anthropic.InternalServerError)
