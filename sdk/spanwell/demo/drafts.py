"""What a model will say, before it is said: text or tool calls, as tokens, and why it stops. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from spanwell.demo.answers import compose_answer, draw
from spanwell.demo.json_answers import fill_schema
from spanwell.demo.profiles import DEFAULT_MAX_TOKENS, ModelProfile
from spanwell.demo.tokens import message_text, tokenize

WORD = re.compile(r"[a-z]{4,}")


@dataclass(frozen=True)
class ToolCall:
    """One call of a function; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Draft:
    """An answer. `pieces` are its tokens: of the text, or of the arguments when it calls a tool."""

    pieces: tuple[str, ...]
    finish_reason: str
    tool_call: ToolCall | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def compose_draft(body: Mapping[str, Any], profile: ModelProfile, seed: int) -> Draft:
    """Answer a chat request: with a tool if the prompt asks for one, with JSON if a schema is set, else with text."""
    messages: Sequence[Mapping[str, Any]] = body["messages"]
    prompt = message_text(messages[-1]) if messages else ""
    random = draw(seed, profile.name, prompt)
    tool = _pick_tool(body, messages, prompt)
    if tool is not None:
        return _call_tool(tool, prompt, random)
    schema = _wanted_schema(body.get("response_format"))
    if schema is not None:
        text = orjson.dumps(fill_schema(schema, prompt, random)).decode()
    else:
        text = compose_answer(profile, messages, seed)
    return _cut(text, body)


def _call_tool(tool: Mapping[str, Any], prompt: str, random: Random) -> Draft:
    schema = tool.get("parameters") or {"type": "object", "properties": {}}
    arguments = orjson.dumps(fill_schema(schema, prompt, random)).decode()
    call = ToolCall(f"chatcmpl-tool-{random.getrandbits(64):016x}", tool["name"], arguments)
    return Draft(tokenize(arguments), "tool_calls", call)


def _pick_tool(body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], prompt: str) -> Mapping[str, Any] | None:
    functions: list[Mapping[str, Any]] = [tool["function"] for tool in body.get("tools") or []]
    choice = body.get("tool_choice", "auto")
    if not functions or choice == "none":
        return None
    if isinstance(choice, Mapping):
        wanted = (choice.get("function") or {}).get("name")
        return next((one for one in functions if one["name"] == wanted), functions[0])
    if choice != "required" and (not messages or messages[-1]["role"] != "user"):
        return None
    asked = set(WORD.findall(prompt.lower()))
    best = max(functions, key=lambda one: len(asked & _tool_words(one)))
    return best if choice == "required" or asked & _tool_words(best) else None


def _tool_words(function: Mapping[str, Any]) -> set[str]:
    return set(WORD.findall(f"{function['name']} {function.get('description', '')}".lower().replace("_", " ")))


def _wanted_schema(response_format: Any) -> Mapping[str, Any] | None:
    if not isinstance(response_format, Mapping):
        return None
    if response_format.get("type") == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if response_format.get("type") == "json_schema":
        return (response_format.get("json_schema") or {}).get("schema") or {}
    return None


def _cut(text: str, body: Mapping[str, Any]) -> Draft:
    stops = body.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.split(stop, 1)[0]
    pieces = tokenize(text)
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_MAX_TOKENS
    return Draft(pieces[:limit], "length" if len(pieces) > limit else "stop")
