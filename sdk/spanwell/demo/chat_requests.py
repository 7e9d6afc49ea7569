"""Reads a request's body as vLLM would: the same checks in the same order, refused in the same words."""

from collections.abc import Mapping
from typing import Any

import orjson

from spanwell.demo.profiles import ModelProfile
from spanwell.demo.tokens import count_prompt_tokens
from spanwell.demo.vllm_wire import ApiError

BAD_REQUEST = "Bad Request"  # the type of schema errors has a space, the type of the others has none

NUMBER = ((int, float), "float_type", "Input should be a valid number")
INTEGER = ((int,), "int_type", "Input should be a valid integer")
BOOLEAN = ((bool,), "bool_type", "Input should be a valid boolean")
MAPPING = ((dict,), "dict_type", "Input should be a valid dictionary")
LIST = ((list,), "list_type", "Input should be a valid list")
FIELDS = {
    "temperature": NUMBER,
    "max_tokens": INTEGER,
    "max_completion_tokens": INTEGER,
    "n": INTEGER,
    "stream": BOOLEAN,
    "stream_options": MAPPING,
    "response_format": MAPPING,
    "tools": LIST,
}
MOST_CHOICES = 128

Json = dict[str, Any]


def parse_body(raw: bytes, field: str) -> Json:
    """The JSON object in `raw`, with `field` (`messages` or `prompt`) of the right type. Raises ApiError."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _invalid("json_invalid", f"body.{error.pos}", "JSON decode error", "<dict of 0 items>") from error
    if not isinstance(body, dict):
        raise _invalid("dict_type", "body", "Input should be a valid dictionary", body)
    if field not in body:
        raise _invalid("missing", f"body.{field}", "Field required", f"<dict of {len(body)} items>")
    if field == "messages":
        _check_messages(body["messages"])
    _check_fields(body)
    return body


def find_model(body: Mapping[str, Any], models: Mapping[str, ModelProfile]) -> ModelProfile:
    """The model that `body` names. Raises ApiError 404 as vLLM words it."""
    name = str(body.get("model"))
    if name in models:
        return models[name]
    message = f"The model `{name}` does not exist. Valid aliases: {', '.join(models)}."
    raise ApiError(404, message, "NotFoundError", "model")


def check_parameters(body: Mapping[str, Any], model: ModelProfile) -> None:
    """Raise ApiError 400 for values out of range."""
    temperature = body.get("temperature")
    if temperature is not None and temperature < 0:
        value = float(temperature)
        message = f"temperature must be non-negative, got {value}. (parameter=temperature, value={value})"
        raise ApiError(400, message, param="temperature")
    max_tokens = body.get("max_completion_tokens") or body.get("max_tokens") or 1
    if max_tokens > model.max_model_len:
        message = (
            f"max_tokens={max_tokens} cannot be greater than max_model_len={model.max_model_len}. Please request fewer "
            f"output tokens. (parameter=max_tokens, value={max_tokens})"
        )
        raise ApiError(400, message, param="max_tokens")
    if not 1 <= (body.get("n") or 1) <= MOST_CHOICES:
        raise ApiError(400, f"n must be between 1 and {MOST_CHOICES}, got {body['n']}.", param="n")
    if body.get("stream_options") and not body.get("stream"):
        message = "Stream options can only be defined when `stream=True`."
        raise _invalid("value_error", "body.stream_options", message, body["stream_options"])


def check_prompt(messages: list[Json], model: ModelProfile) -> None:
    """Raise ApiError 400 if the prompt alone is over the context window."""
    if count_prompt_tokens(messages) <= model.max_model_len:
        return
    characters = sum(len(str(message.get("content") or "")) for message in messages)
    message = (
        f"This model's maximum context length is {model.max_model_len} tokens. However, your prompt contains "
        f"{characters} characters. Please reduce the length of the input prompt. "
        f"(parameter=input_text, value={characters})"
    )
    raise ApiError(400, message, param="input_text")


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list):
        raise _invalid("list_type", "body.messages", "Input should be a valid list", messages)
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _invalid("missing", f"body.messages.{index}.role", "Field required", message)
        for call in message.get("tool_calls") or ():
            _check_function(call, f"body.messages.{index}.tool_calls")


def _check_fields(body: Json) -> None:
    """The type of every field that the answer depends on; null is the same as absent."""
    for name, (types, kind, message) in FIELDS.items():
        value = body.get(name)
        is_right = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        if value is not None and not is_right:
            raise _invalid(kind, f"body.{name}", message, value)
    for index, tool in enumerate(body.get("tools") or ()):
        _check_function(tool, f"body.tools.{index}")


def _check_function(holder: Any, where: str) -> None:
    function = holder.get("function") if isinstance(holder, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise _invalid("missing", f"{where}.function.name", "Field required", holder)


def _invalid(kind: str, location: str, message: str, given: Any) -> ApiError:
    detail = {"type": kind, "loc": location, "msg": message, "input": given}
    return ApiError(400, f"1 validation error:\n  {detail}", BAD_REQUEST, location)
