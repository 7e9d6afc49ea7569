"""What each emitter leaves off the wire, hides in odd places or gets wrong; found by looking (`look.py`).

The keys are the labels of the calls, `*` for every one. A fact is missing when neither the call's own spans, nor their
parents, nor the log records that point at them hold it.
"""

from typing import Any

USER, SESSION = "user-7", "session-42"
Fields = list[str]

CONTENT = ["input_contains", "output_contains", "tool_calls"]

MISSING: dict[str, dict[str, Fields]] = {
    "openllmetry_old": {
        "unary": ["reasoning_tokens"],
        "streamed": ["input_tokens", "output_tokens"],
        "failing": ["error_type"],
    },
    "otel_v2_default": {
        "embeddings": ["input_contains"],
        "unary": ["cached_tokens", "reasoning_tokens"],
        "streamed": ["stream"],
    },
    "otel_v2_latest": {
        "embeddings": ["input_contains"],
        "unary": ["cached_tokens", "reasoning_tokens"],
        "streamed": ["stream"],
    },
    "otel_v2_old": {
        "embeddings": ["call"],
        "unary": ["cached_tokens", "reasoning_tokens"],
        "streamed": ["stream"],
    },
    "langfuse": {
        "*": ["provider", "response_id"],
        "embeddings": ["request_model"],
        "unary": ["request_model"],
        "streamed": ["request_model"],
        "tool": ["request_model"],
        "failing": ["error_type"],
    },
    "logfire": {
        "embeddings": ["input_contains"],
        "streamed": ["response_id", "response_model"],
    },
    "mlflow": {"*": ["provider", "user_id", "session_id"]},
    "mlflow_genai": {
        "*": ["provider", "user_id", "session_id"],
        "embeddings": ["input_contains", "input_tokens"],
        "unary": ["cached_tokens", "reasoning_tokens"],
    },
    "vercel_ai_v6": {"embeddings": ["response_model"]},
    "vercel_ai_v7": {
        "embeddings": ["response_model", "user_id", "session_id"],
        "unary": ["reasoning_tokens"],
    },
    "anthropic_sdk": {"*": CONTENT},
    "vllm": {"*": ["provider", "request_model", "response_model", "stream", "cached_tokens", *CONTENT]},
}

EXCEPTION = "exception.type of the span event `exception`"
IN_OUTPUT = "`id` in the JSON of output.value"
COMPANION = "the companion span `streaming response from ...`"
ROOT = "the application's root span, a parent"

WHERE: dict[str, dict[str, dict[str, str]]] = {
    "openinference_openai": {
        "*": {"request_model": "`model` in the JSON of input.value and of invocation_parameters"},
        "unary": {"response_id": IN_OUTPUT},
        "streamed": {
            "response_id": IN_OUTPUT,
            "stream": "`stream` in the JSON of llm.invocation_parameters; the span event `First Token Stream Event`",
        },
        "tool": {"response_id": IN_OUTPUT},
        "failing": {"error_type": EXCEPTION},
    },
    "openinference_anthropic": {
        "*": {"response_id": f"{IN_OUTPUT}; gen_ai.response.id of the SDK's own span"},
        "streamed": {"stream": "`stream` in llm.invocation_parameters; gen_ai.request.stream of the SDK's own span"},
        "failing": {"error_type": f"{EXCEPTION}; error.type of the SDK's own span"},
    },
    "openllmetry_anthropic": {
        "streamed": {
            "output_tokens": "4 on the SDK's own span, 5 on the instrumentation's",
            "stream": "gen_ai.request.stream of the SDK's own span; gen_ai.is_streaming where the helper was not used",
        },
    },
    "otel_v2_default": {
        "*": {"user_id": ROOT, "session_id": ROOT, "input_contains": "log records", "output_contains": "log records"},
        "tool": {"tool_calls": "the log record gen_ai.choice"},
    },
    "otel_v2_old": {
        "*": {"user_id": ROOT, "session_id": ROOT, "input_contains": "log records", "output_contains": "log records"},
        "tool": {"tool_calls": "the log record gen_ai.choice"},
    },
    "otel_v2_latest": {
        "*": {"user_id": ROOT, "session_id": f"gen_ai.conversation.id of {ROOT}"},
    },
    "langfuse": {
        "unary": {
            "cached_tokens": "prompt_tokens_details.cached_tokens in langfuse.observation.usage_details",
            "reasoning_tokens": "completion_tokens_details.reasoning_tokens in langfuse.observation.usage_details",
        },
        "streamed": {"stream": "langfuse.observation.completion_start_time is set"},
        "tool": {"tool_calls": "OpenAI's message in langfuse.observation.output"},
    },
    "logfire": {
        "unary": {
            "cached_tokens": "prompt_tokens_details.cached_tokens in gen_ai.usage.raw",
            "reasoning_tokens": "completion_tokens_details.reasoning_tokens in gen_ai.usage.raw",
        },
        "streamed": {
            "input_tokens": COMPANION,
            "output_tokens": COMPANION,
            "output_contains": COMPANION,
            "stream": f"there is {COMPANION}",
        },
        "failing": {"error_type": EXCEPTION},
    },
    "mlflow": {
        "*": {
            "request_model": "the bare attribute `model`, in JSON quotes",
            "response_id": "`id` in the JSON of mlflow.spanOutputs",
        },
        "embeddings": {"input_tokens": "usage.prompt_tokens in the JSON of mlflow.spanOutputs"},
        "unary": {
            "cached_tokens": "cache_read_input_tokens in mlflow.chat.tokenUsage",
            "reasoning_tokens": "usage.completion_tokens_details.reasoning_tokens in mlflow.spanOutputs",
        },
        "streamed": {"stream": "the bare attribute `stream`; span events mlflow.chunk.item.N"},
        "tool": {"tool_calls": "OpenAI's message in mlflow.spanOutputs"},
        "failing": {"error_type": EXCEPTION},
    },
    "mlflow_genai": {
        "*": {"request_model": "the bare attribute `model`, in JSON quotes; gen_ai.request.model is the response's"},
        "streamed": {"stream": "the bare attribute `stream`; span events mlflow.chunk.item.N"},
        "failing": {"error_type": EXCEPTION},
    },
    "vercel_ai_v6": {
        "streamed": {"stream": "the name ai.streamText.doStream; the span event ai.stream.firstChunk"},
        "failing": {"error_type": EXCEPTION},
    },
    "vercel_ai_v7": {
        "*": {
            "user_id": "ai.settings.context.userId of the parents `step` and `invoke_agent`",
            "session_id": "ai.settings.context.sessionId of the parents `step` and `invoke_agent`",
        },
        "streamed": {"stream": "gen_ai.client.operation.time_to_first_chunk is set"},
        "failing": {"error_type": EXCEPTION},
    },
    "anthropic_sdk": {"*": {"user_id": ROOT, "session_id": ROOT}},
    "vllm": {
        "*": {
            "response_id": "gen_ai.request.id, the HTTP answer's id",
            "user_id": ROOT,
            "session_id": ROOT,
            "input_tokens": "gen_ai.usage.prompt_tokens",
            "output_tokens": "gen_ai.usage.completion_tokens",
        },
        "several": {"output_tokens": "the sum over the spans of one gen_ai.request.id; prompt tokens repeat on each"},
    },
}

NOTES: dict[str, list[str]] = {
    "openinference_openai": [
        "llm.system, no llm.provider; llm.model_name is the response's model.",
    ],
    "openinference_anthropic": [
        "The SDK's own span repeats each call, as a child of the instrumentation's; for messages.stream as a sibling.",
        "For the last call, made at top level, it is in a trace of its own; only the response id joins the two.",
        "output.value holds Anthropic's raw input_tokens 11 beside llm.token_count.prompt 161.",
    ],
    "openllmetry_openai": ["Metrics repeat the tokens of the spans."],
    "openllmetry_anthropic": [
        "The SDK's own span repeats each call, as a sibling; for the last, made at top level, in a trace of its own.",
        "The failing call has no response id: parent, time and model alone join its two spans.",
        "Streamed, the instrumentation counts message_start's one output token again: 5 for 4.",
        "The cache write is cache_creation on one span and cache_write on the other.",
    ],
    "openllmetry_old": [
        "0.40 with indexed attributes; the provider is spelt OpenAI; a stream has no usage although it asked for it.",
        "The failing span has a status message and no exception event.",
    ],
    "otel_v2_default": ["Content in log records named by event_name; bodies are maps; embeddings have no content."],
    "otel_v2_old": ["No embeddings span at all; log records named by the attribute event.name, event_name is empty."],
    "otel_v2_latest": [
        "A log record gen_ai.client.inference.operation.details repeats each chat span, its content not as JSON text.",
    ],
    "langfuse": [
        "langfuse.observation.model.name is the response's model once there is one; no gen_ai attributes at all.",
        "The failing span has cost_details of zeros. Tool definitions and messages share langfuse.observation.input.",
    ],
    "logfire": [
        "A stream is two spans: the request ends early without usage or output, the companion repeats its input.",
        "Inside a span the two are siblings; the last call, at top level, has them as two roots.",
        "gen_ai.response.model of a stream and of the failing call is the request's model: nothing had answered.",
        "session_id of ordinary spans is '[Scrubbed due to 'session']'.",
    ],
    "mlflow": ["Every attribute value is JSON text: strings come in quotes. User and session never reach OTLP."],
    "mlflow_genai": [
        "gen_ai.request.model and the span's name hold the response's model.",
        "gen_ai.operation.name of the retrieval is RETRIEVER, its content is gone; so is all content of embeddings.",
    ],
    "vercel_ai_v6": [
        "Outer spans (ai.generateText, ai.streamText, ai.embedMany) repeat usage and content of the inner .do ones.",
        "The provider is spelt openai.chat, openai.embedding; a tool call's finish reason tool-calls.",
    ],
    "vercel_ai_v7": [
        "invoke_agent repeats usage and content of its chat span.",
        "Of the two spans that say embeddings only the inner has tokens.",
        "Ids sit on step and invoke_agent, not on chat and tool spans; embeddings have neither.",
    ],
    "anthropic_sdk": ["Full usage, no content. The tool call shows only as anthropic.message.stop_reason tool_use."],
    "vllm": [
        "llm_request spans of a real server, children of the caller's span, with the old usage names and no model.",
        "The model's weights are random, its texts nothing. vllm.prometheus.txt is its metrics page after these calls.",
        "The call labelled `several` asked for n=2: two spans with one request id, each with all prompt tokens.",
        "Spans of the server's own start come too. When the caller is traced, its own span already counts these calls.",
    ],
}


def with_wire(fixture: str, call: dict[str, Any]) -> dict[str, Any]:
    """A call of the backend's log as the truth file tells it. Where there is no fact, none is missing."""
    told = {**call, "user_id": USER, "session_id": SESSION, "error_type": call["status"] == "error", "call": True}
    absent, places = MISSING.get(fixture, {}), WHERE.get(fixture, {})
    missing = {*absent.get("*", []), *absent.get(call["label"], [])}
    where = {**places.get("*", {}), **places.get(call["label"], {})}
    told["missing"] = sorted(field for field in missing if told[field])
    told["where"] = {field: place for field, place in where.items() if told[field] and field not in missing}
    told["error_type_present"] = told.pop("error_type") and "error_type" not in missing
    del told["call"]
    return told
