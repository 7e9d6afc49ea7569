"""MLflow's tracing with its OpenAI autolog, exported over OTLP.

With MLFLOW_ENABLE_OTEL_GENAI_SEMCONV=true it converts to the gen_ai conventions: the fixture mlflow_genai.
"""

import os

# With the endpoint of every signal set, mlflow-tracing also wants metrics and fails at the end of each span.
os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = os.environ.pop("OTEL_EXPORTER_OTLP_ENDPOINT") + "/v1/traces"

import mlflow
import openai
import scenario
from mlflow.entities import SpanType

mlflow.openai.autolog()
calls = scenario.OpenAICalls(openai.OpenAI(base_url=os.environ["BACKEND_URL"] + "/v1", api_key="none", max_retries=0))
get_weather = mlflow.trace(span_type=SpanType.TOOL)(scenario.get_weather)


@mlflow.trace(span_type=SpanType.RETRIEVER)
def retrieve(query: str) -> list[dict[str, str]]:
    return [{"id": f"doc-{index}", "page_content": text} for index, text in enumerate(scenario.DOCUMENTS) if query]


@mlflow.trace(name="assistant", span_type=SpanType.AGENT)
def answer(question: str) -> str:
    mlflow.update_current_trace(metadata={"mlflow.trace.user": scenario.USER, "mlflow.trace.session": scenario.SESSION})
    calls.embed()
    retrieve(question)
    text = calls.unary()
    calls.streamed()
    get_weather(**calls.ask_for_tool())
    calls.fail(openai.InternalServerError)
    return text


answer(scenario.QUESTION)
mlflow.flush_trace_async_logging()
