"""What of a request may reach LiteLLM. A name that is not here goes no further.

LiteLLM takes its own settings as arguments beside those of the API: addresses, keys, hooks, canned answers. A list of
what is good needs no list of what is bad.
"""

from collections.abc import Callable, Mapping
from typing import Any

from spanwell_proxy.failures import ApiError, bad_request

SAMPLING = frozenset(
    ("frequency_penalty", "logit_bias", "presence_penalty", "seed", "stop", "temperature", "top_p", "n", "stream")
)
# Not OpenAI's, but every open model's: where a provider has no word for one, LiteLLM leaves it out.
OPEN_MODELS = frozenset(("min_p", "repetition_penalty", "top_k", "thinking", "chat_template_kwargs", "safety_settings"))
CACHING = frozenset(("cache_control", "prompt_cache_key", "prompt_cache_retention"))
ACCOUNTING = frozenset(("safety_identifier", "service_tier", "user"))

CHAT = (
    SAMPLING
    | OPEN_MODELS
    | CACHING
    | ACCOUNTING
    | {
        "audio",
        "function_call",
        "functions",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "modalities",
        "parallel_tool_calls",
        "prediction",
        "reasoning_effort",
        "response_format",
        "stream_options",
        "tool_choice",
        "tools",
        "top_logprobs",
        "verbosity",
        "web_search_options",
    }
)
COMPLETIONS = (
    SAMPLING | OPEN_MODELS | {"best_of", "echo", "logprobs", "max_tokens", "prompt", "stream_options", "suffix", "user"}
)
EMBEDDINGS = frozenset(("dimensions", "input", "input_type", "user"))
MESSAGES = frozenset(
    (
        "cache_control",
        "max_tokens",
        "messages",
        "output_config",
        "output_format",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    )
)
COUNT = frozenset(("messages", "system", "thinking", "tool_choice", "tools"))
RESPONSES = frozenset(
    (
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "parallel_tool_calls",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "stream",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_p",
        "user",
    )
)
RERANK = frozenset(
    ("documents", "max_chunks_per_doc", "max_tokens_per_doc", "query", "rank_fields", "return_documents", "top_n")
)
MODERATIONS = frozenset(("input",))
IMAGES = frozenset(
    (
        "background",
        "input_fidelity",
        "moderation",
        "n",
        "output_compression",
        "output_format",
        "prompt",
        "quality",
        "response_format",
        "size",
        "style",
        "user",
    )
)
SPEECH = frozenset(("input", "instructions", "response_format", "speed", "voice"))
TRANSCRIPTION = frozenset(
    ("language", "prompt", "response_format", "temperature", "timestamp_granularities", "chunking_strategy", "include")
)

NUMBERS: Mapping[str, type[int] | type[float]] = {"n": int, "output_compression": int, "temperature": float}

# What LiteLLM takes apart without looking: a wrong kind would fail inside it, and look like the backend's fault.
OBJECTS = frozenset(
    ("audio", "cache_control", "logit_bias", "output_config", "prediction", "reasoning", "stream_options")
)
OBJECTS |= {"text", "thinking", "web_search_options"}
WHOLE = frozenset(("best_of", "dimensions", "max_completion_tokens", "max_output_tokens", "max_tokens", "n", "seed"))
WHOLE |= {"top_k", "top_logprobs", "top_n"}
REAL = frozenset(("frequency_penalty", "min_p", "presence_penalty", "repetition_penalty", "temperature", "top_p"))
TEXTS = frozenset(("instructions", "reasoning_effort", "service_tier", "suffix", "user", "verbosity"))
LISTS = frozenset(("functions", "tools"))  # of objects
TEXTS_OR_LISTS = frozenset(("modalities", "prompt", "stop", "stop_sequences"))  # of texts
TEXTS_OR_OBJECTS = frozenset(("function_call", "output_format", "response_format", "tool_choice"))

# What LiteLLM would do by itself if it were asked to: call another model, with an address and a key of the client's;
# reach for tools or files of its own proxy. Tools that run at the provider's pass.
OWN_TOOLS = ("advisor", "litellm")
OWN_SERVER = "litellm_proxy"
STEERING = frozenset(("api_base", "api_key", "base_url"))
# What has to be kept between calls, and nobody here keeps it; what would run at OpenAI's.
KEPT = {
    "previous_response_id": "send the whole conversation as input",
    "conversation": "send the whole conversation as input",
    "background": "call without it",
    "prompt": "send its text as instructions and input",
}
RESPONSE_TOOLS = frozenset(("function", "custom", "web_search", "web_search_preview"))


def pick(request: Mapping[str, Any], allowed: frozenset[str]) -> dict[str, Any]:
    """What of `request` may go on. Raises ApiError 400 for what is of a wrong kind, and a tool that would steer."""
    picked = {key: value for key, value in request.items() if key in allowed and value is not None}
    for key, value in picked.items():
        _check_kind(key, value)
    for at, tool in enumerate(_objects(request.get("tools"))):
        _check_tool(tool, f"tools[{at}]")
    return picked


def read_numbers(asked: Mapping[str, Any]) -> dict[str, Any]:
    """A form's fields are texts. Raises ApiError 400."""
    read = dict(asked)
    for key, kind in NUMBERS.items():
        if isinstance(text := asked.get(key), str):
            try:
                read[key] = kind(text)
            except ValueError as error:
                raise bad_request(f"{key} must be a number", key) from error
    return read


def check_messages(messages: Any) -> None:
    """LiteLLM blames the backend for messages it cannot read. Raises ApiError 400."""
    for at, message in enumerate(messages if isinstance(messages, list) else [None]):
        content = message.get("content") if isinstance(message, Mapping) else 0
        if not isinstance(content, str | list | None):
            raise bad_request(f"messages[{at}].content must be text or a list of parts", "messages")
        if isinstance(content, list) and not all(isinstance(part, Mapping) for part in content):
            raise bad_request(f"messages[{at}].content must be a list of objects", "messages")
        if not isinstance(message.get("role"), str):
            raise bad_request(f"messages[{at}].role must be given", "messages")


def check_response(request: Mapping[str, Any]) -> None:
    """A response made of a chat completion is not kept, and has no tools of OpenAI's. Raises ApiError 400."""
    for key, instead in KEPT.items():
        if request.get(key):
            raise bad_request(f"{key} is not offered by the backend of this model: {instead}", key)
    for at, tool in enumerate(_objects(request.get("tools"))):
        if not str(tool.get("type")).startswith(tuple(RESPONSE_TOOLS)):
            kinds = ", ".join(sorted(RESPONSE_TOOLS))
            raise bad_request(f"a tool of type {tool.get('type')!r} is not offered here, only {kinds}", f"tools[{at}]")


def shaping(request: Mapping[str, Any]) -> list[str]:
    """What is asked for that the answer itself has to hold."""
    several = isinstance(n := request.get("n"), int) and n > 1
    asked = {"n": several, "logprobs": request.get("logprobs"), "tools": request.get("tools")}
    return [key for key, wanted in asked.items() if wanted]


def check_shape(request: Mapping[str, Any], supported: frozenset[str], provider: str) -> None:
    """What a provider has no word for may be left out, but not where the answer would lack what was asked for."""
    for key in shaping(request):
        if key not in supported:
            raise ApiError(400, "unsupported_parameter", f"{provider} does not offer {key}", param=key)


def _check_kind(key: str, value: Any) -> None:
    for keys, fits, kind in KINDS:
        if key in keys and not fits(value):
            raise bad_request(f"{key} must be {kind}", key)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


_is_texts = _is_list_of(str)
KINDS: tuple[tuple[frozenset[str], Callable[[Any], bool], str], ...] = (
    (OBJECTS, _is_object, "an object"),
    (WHOLE, _is_whole, "a whole number"),
    (REAL, _is_real, "a number"),
    (TEXTS, _is_text, "a text"),
    (LISTS, _is_list_of(dict), "a list of objects"),
    (TEXTS_OR_LISTS, lambda value: _is_text(value) or _is_texts(value), "a text or a list of texts"),
    (TEXTS_OR_OBJECTS, lambda value: _is_text(value) or _is_object(value), "a text or an object"),
)


def _check_tool(tool: Mapping[str, Any], where: str) -> None:
    kind, server = str(tool.get("type") or ""), str(tool.get("server_url") or "")
    if kind.startswith(OWN_TOOLS) or server.startswith(OWN_SERVER) or STEERING & tool.keys():
        raise bad_request(f"{where}: this tool is not offered here", where)
    if not isinstance(tool.get("name"), str | None):
        raise bad_request(f"{where}.name must be a text", where)


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
