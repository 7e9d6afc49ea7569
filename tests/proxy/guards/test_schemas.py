"""The shape of an answer is checked, by the operator's schema or by the one that the request asks for."""

from typing import Any

import pytest

from spanwell.errors import ConfigError
from spanwell_proxy.guards.judging import Finding, Subject
from spanwell_proxy.guards.schemas import compile_schema, judge_schema

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer", "maximum": 9}}, "required": ["age"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}


async def judge(content: str | None, schema: Any = SCHEMA, **request: Any) -> Finding:
    answer = {"choices": [{"message": {"content": content}}]}
    validator = compile_schema(schema, "here") if schema else None

    async def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError

    return await judge_schema(validator)(Subject("output", "fox", request, answer, "", ask))


@pytest.mark.parametrize("content", ['{"age": 4}', ' {"age": 9, "more": []}\n', None])
async def test_what_follows_it_is_let_through(content: str | None) -> None:
    assert not (await judge(content)).found


@pytest.mark.parametrize(
    ("content", "told"),
    [("four", "not JSON"), ('{"age": 10}', "age: "), ("[]", "the whole: "), ('```json\n{"age": 1}\n```', "not JSON")],
)
async def test_what_does_not_is_found_with_a_reason(content: str, told: str) -> None:
    finding = await judge(content)

    assert finding.found == {"schema": 1}
    assert told in finding.told


@pytest.mark.parametrize(
    "request_", [{"response_format": FORMAT}, {"text": {"format": {"type": "json_schema", "schema": SCHEMA}}}]
)
async def test_the_requests_own_schema_is_used(request_: dict[str, Any]) -> None:
    assert (await judge('{"age": 10}', None, **request_)).found
    assert not (await judge('{"age": 1}', None, **request_)).found


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 7}}}},
    ],
)
async def test_a_request_without_a_sound_one_is_let_through(request_: dict[str, Any]) -> None:
    assert not (await judge("x", None, **request_)).found


def doubling(steps: int) -> dict[str, Any]:
    twice = {f"d{at}": {"anyOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(steps)}
    return {"$ref": "#/$defs/d0", "$defs": {**twice, f"d{steps}": {"type": "object"}}}


RETURNING = {"anyOf": [{"properties": {"a": {"$ref": "#"}}, "required": ["b"]}] * 2}
TREE = {"type": "object", "properties": {side: {"anyOf": [{"$ref": "#"}, {"type": "null"}]} for side in ("l", "r")}}
HIDDEN = {"properties": {"a": {"$id": "http://x/", "$ref": "#/$defs/y", "$defs": {"y": {}}}}}


@pytest.mark.parametrize(
    ("schema", "content", "is_checked"),
    [
        (doubling(8), "5", True),
        (doubling(40), "5", False),
        (RETURNING, '{"a":' * 60 + "1" + "}" * 60, False),
        (TREE, '{"l":' * 15 + "5" + "}" * 15, True),
        ({"$ref": "#"}, "5", True),
        (HIDDEN, "5", False),
        ({"default": {"$id": "x"}, "type": "object"}, "5", True),
    ],
)
async def test_a_requests_schema_cannot_keep_a_worker_busy(schema: Any, content: str, is_checked: bool) -> None:
    asked = {"type": "json_schema", "json_schema": {"schema": schema}}

    finding = await judge(content, None, response_format=asked)

    assert ("too often" not in finding.told) == is_checked


def test_nothing_is_fetched_for_a_schema() -> None:
    with pytest.raises(ConfigError, match="not in the schema"):
        compile_schema({"$ref": "http://127.0.0.1:9/x.json"}, "here")
    with pytest.raises(ConfigError):
        compile_schema({"$ref": "file:///etc/passwd"}, "here")
