"""OpenInference's instrumentation of the Anthropic SDK, whose own spans come too: its children.

Of a stream opened by the helper they are siblings, and at top level, as the last call is, in two traces.
"""

import anthropic
import scenario
import tracing
from openinference.instrumentation import TracerProvider, using_attributes
from openinference.instrumentation.anthropic import AnthropicInstrumentor

provider = tracing.start(TracerProvider)
AnthropicInstrumentor().instrument(tracer_provider=provider)
tracer = provider.get_tracer("assistant")
calls = scenario.AnthropicCalls(anthropic.Anthropic(base_url=tracing.BACKEND_URL, api_key="none", max_retries=0))
get_weather = tracer.tool(scenario.get_weather)


@tracer.agent(name="assistant")
def answer(question: str) -> str:
    text = calls.unary() if question else ""
    calls.streamed()
    calls.streamed_by_helper()
    get_weather(**calls.ask_for_tool())
    calls.fail(anthropic.InternalServerError)
    return text


with using_attributes(user_id=scenario.USER, session_id=scenario.SESSION):
    answer(scenario.QUESTION)
    calls.streamed_by_helper()
