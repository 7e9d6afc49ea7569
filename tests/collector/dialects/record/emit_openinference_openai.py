"""OpenInference's instrumentation of the OpenAI SDK, with its own agent, retriever and tool spans."""

import openai
import scenario
import tracing
from openinference.instrumentation import TracerProvider, using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor

provider = tracing.start(TracerProvider)
OpenAIInstrumentor().instrument(tracer_provider=provider)
tracer = provider.get_tracer("assistant")
calls = scenario.OpenAICalls(openai.OpenAI(base_url=tracing.BACKEND_URL + "/v1", api_key="none", max_retries=0))
get_weather = tracer.tool(scenario.get_weather)


def retrieve(query: str) -> None:
    with tracer.start_as_current_span("retrieve", openinference_span_kind="retriever") as span:
        span.set_input(query)
        for index, text in enumerate(scenario.DOCUMENTS):
            document = f"retrieval.documents.{index}.document"
            span.set_attributes({f"{document}.id": f"doc-{index}", f"{document}.content": text})
            span.set_attribute(f"{document}.score", 0.9 - index / 2)


@tracer.agent(name="assistant")
def answer(question: str) -> str:
    calls.embed()
    retrieve(question)
    text = calls.unary()
    calls.streamed()
    get_weather(**calls.ask_for_tool())
    calls.fail(openai.InternalServerError)
    return text


with using_attributes(user_id=scenario.USER, session_id=scenario.SESSION):
    answer(scenario.QUESTION)
