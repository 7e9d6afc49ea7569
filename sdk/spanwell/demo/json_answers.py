"""Answers that have to fit a JSON schema: arguments of a tool, structured output, the verdict of a judge. Pure."""

import re
import zlib
from collections.abc import Mapping
from random import Random
from typing import Any

from spanwell.demo.answers import is_weak

IDENTIFIER = re.compile(r"\b[A-Z]{1,4}-?\d{3,}\b")
OUTPUT_SECTION = re.compile(r"^\[output\b[^\]]*\]$", re.MULTILINE)
PLAIN_WORD = re.compile(r"\b[A-Za-z][a-z]+\b")
GOOD = frozenset({"pass", "passed", "good", "yes", "correct", "helpful", "true", "relevant", "safe", "faithful"})
BAD = frozenset(
    {"fail", "failed", "bad", "no", "incorrect", "unhelpful", "false", "irrelevant", "unsafe", "unfaithful"}
)
MISJUDGED = 0.05  # share of texts a judge gets wrong
MAX_DEPTH = 12  # a schema may refer to itself

Schema = Mapping[str, Any]


def judge_quality(text: str) -> float:
    """How good the judged text is, 0 to 1. The same words give the same verdict, whatever delimiters surround them.

    Of a text with sections such as `[input ...]` and `[output ...]`, the output is what is judged.
    """
    text = OUTPUT_SECTION.split(text)[-1]
    words = " ".join(sorted(set(PLAIN_WORD.findall(text)))).encode()
    luck = zlib.crc32(words) / 2**32
    weak = is_weak(text) ^ (luck < MISJUDGED)
    return round((0.1 if weak else 0.75) + 0.2 * luck, 2)


def fill_schema(schema: Schema, prompt: str, random: Random) -> Any:
    """A value that is valid for `schema`, as plausible as the prompt allows."""
    return _fill(schema, "", _Source(prompt, judge_quality(prompt), random, schema), 0)


class _Source:
    """What values are drawn from: the prompt, its quality if it is something to judge, and chance."""

    def __init__(self, prompt: str, quality: float, random: Random, root: Schema) -> None:
        self.prompt = prompt
        self.quality = quality
        self.random = random
        self.root = root


def _fill(schema: Schema, name: str, source: _Source, depth: int) -> Any:
    schema = _resolve(schema, source.root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return _choose(schema["enum"], source)
    for union in ("anyOf", "oneOf", "allOf"):
        if schema.get(union):
            return _fill(schema[union][0], name, source, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind == "object":
        return _fill_object(schema, source, depth)
    if kind == "array":
        length = max(schema.get("minItems", 1), 0) if depth < MAX_DEPTH else schema.get("minItems", 0)
        return [_fill(schema.get("items", {}), name, source, depth + 1) for _ in range(length)]
    return _fill_scalar(kind, schema, name, source)


def _fill_object(schema: Schema, source: _Source, depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    names = properties if depth < MAX_DEPTH else [name for name in properties if name in required]
    return {name: _fill(properties[name], name, source, depth + 1) for name in names}


def _fill_scalar(kind: str, schema: Schema, name: str, source: _Source) -> Any:
    if kind == "boolean":
        return source.quality >= 0.5
    if kind == "null":
        return None
    if kind in ("integer", "number"):
        return _fill_number(kind, schema, source)
    return _fit(_write_text(name, source), schema)


def _fill_number(kind: str, schema: Schema, source: _Source) -> float:
    low = float(schema.get("minimum", schema.get("exclusiveMinimum", 0)))
    high = float(schema.get("maximum", schema.get("exclusiveMaximum", low + 1)))
    value = low + source.quality * (high - low)
    return round(value) if kind == "integer" else round(value, 2)


def _choose(options: list[Any], source: _Source) -> Any:
    """The option that says what the quality is; without one, the first is best and the last is worst."""
    wanted = GOOD if source.quality >= 0.5 else BAD
    named = [option for option in options if str(option).lower() in wanted]
    return named[0] if named else options[0 if source.quality >= 0.5 else -1]


def _write_text(name: str, source: _Source) -> str:
    if name in ("reason", "explanation", "rationale", "comment"):
        return (
            "The answer names a concrete step and addresses the question."
            if source.quality >= 0.5
            else "The answer stays general and names no step the reader could take."
        )
    identifiers: list[str] = IDENTIFIER.findall(source.prompt)
    if identifiers and (name.endswith(("id", "number", "order", "serial")) or name in ("key", "reference")):
        return identifiers[-1]
    words = [word for word in PLAIN_WORD.findall(source.prompt) if len(word) > 4] or ["value"]
    return " ".join(source.random.choices(words, k=2)).lower()


def _fit(text: str, schema: Schema) -> str:
    shortest, longest = int(schema.get("minLength", 0)), int(schema.get("maxLength", len(text)))
    return text.ljust(shortest, ".")[: max(longest, shortest)]


def _resolve(schema: Any, root: Schema) -> Schema:
    """Follow `#/...` references; the depth of the filling is bounded, a chain of references is short."""
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, dict):
            break  # `true` allows anything
        if "$ref" not in schema:
            return schema
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target.get(part, {}) if isinstance(target, dict) else {}
        schema = root if schema["$ref"] == "#" else target
    return {}
