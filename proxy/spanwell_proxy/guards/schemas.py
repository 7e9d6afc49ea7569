"""Guard on the shape of an answer: JSON that follows a schema. The patterns of a schema are matched in linear time."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import jsonschema_rs
import orjson

from spanwell.errors import ConfigError
from spanwell_proxy.guards.judging import NOTHING, Finding, Judge, Subject
from spanwell_proxy.guards.tangles import Tangle, measure
from spanwell_proxy.guards.texts import list_spoken

FROM_REQUEST: Final = "request"
MOST_ERRORS: Final = 5
LONGEST_ERROR: Final = 200
TOO_TANGLED: Final = "The schema refers to itself too often to be checked."
MOST_SCHEMAS: Final = 128  # that clients bring: compiling one costs more than using it


def compile_schema(schema: Any, where: str) -> Any:
    """Raises ConfigError. What a schema refers to stands in it: nothing is fetched."""
    try:
        return _compile(schema)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None


def judge_schema(validator: Any | None) -> Judge:
    """None: the schema that each request asks for by `response_format`; one without is let through."""

    async def judge(subject: Subject) -> Finding:
        checks, tangle = (validator, None) if validator else _find_schema(subject.request)
        if checks is None or subject.answer is None:
            return NOTHING
        for text in list_spoken(subject.answer):
            if told := _check(checks, text, tangle):
                return Finding({"schema": 1}, told=told)
        return NOTHING

    return judge


def _check(validator: Any, text: str, tangle: Tangle | None = None) -> str:
    """What is wrong; empty where nothing is. `tangle` is that of a schema that nobody here wrote."""
    try:
        document = orjson.loads(text)
    except ValueError as error:
        return f"The answer is not JSON: {error}."
    if tangle and not tangle.allows(document):
        return TOO_TANGLED
    errors = []
    for wrong in validator.iter_errors(document):
        path = "/".join(map(str, wrong.instance_path)) or "the whole"
        errors.append(f"{path}: {str(wrong.message)[:LONGEST_ERROR]}")
        if len(errors) == MOST_ERRORS:
            break
    return "The answer does not follow the schema. " + "; ".join(errors) if errors else ""


def _find_schema(request: Mapping[str, Any]) -> tuple[Any | None, Tangle | None]:
    asked = request.get("response_format")
    if not isinstance(asked, dict):
        text = request.get("text")
        asked = text.get("format") if isinstance(text, dict) else None
    if not isinstance(asked, dict) or asked.get("type") != "json_schema":
        return None, None
    wrapped = asked.get("json_schema")
    schema = wrapped.get("schema") if isinstance(wrapped, dict) else asked.get("schema")
    try:
        return _compile_text(orjson.dumps(schema)) if isinstance(schema, dict) else (None, None)
    except ValueError:
        return None, None  # it is the backend that says so


@lru_cache(MOST_SCHEMAS)
def _compile_text(text: bytes) -> tuple[Any, Tangle]:
    schema = orjson.loads(text)
    return _compile(schema), measure(schema)


def _compile(schema: Any) -> Any:
    return jsonschema_rs.validator_for(schema, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions())


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not in the schema")
