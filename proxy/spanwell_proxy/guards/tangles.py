"""How much work a schema may make: a checker follows every reference anew, so what refers twice doubles at each step.

Requests bring schemas, and thirty lines of one could keep a worker busy for years.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

MOST_PLACES: Final = 5000
MOST_STEPS: Final = 10_000_000
DEEPEST: Final = 200
REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
# No place by themselves: definitions are checked where something refers to them, the others are documents.
SHELVES: Final = frozenset(("$defs", "definitions", "const", "enum", "default", "examples"))
NAMED: Final = frozenset(("properties", "patternProperties", "dependentSchemas", "dependencies"))
BRANCHES: Final = frozenset(
    (*("allOf", "anyOf", "oneOf", "not", "if", "then", "else"), *("dependentSchemas", "dependencies"))
)


class Tangle(NamedTuple):
    """The `places` that checking comes to, and how often one of several branches leads back into itself."""

    places: int
    returns: int

    def allows(self, document: Any) -> bool:
        """Whether a document can be checked in bounded time: each return needs another level of it."""
        if self.places > MOST_PLACES:
            return False
        return self.returns < 2 or self.returns ** _depth(document) <= MOST_STEPS


class _Walk:
    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self.places = self.returns = 0

    def go(self, node: Any, path: frozenset[str], depth: int, *, branching: bool) -> None:
        if not isinstance(node, dict):
            return
        self.places += 1
        if depth > DEEPEST or (depth and isinstance(node.get("$id", node.get("id")), str)):
            self.places = MOST_PLACES + 1  # what it refers to from there on stands elsewhere
        if self.places > MOST_PLACES:
            return
        for name in REFERENCES:
            if isinstance(ref := node.get(name), str):
                self._follow(ref, path, depth, branching=branching)
        for key, item in _below(node):
            self.go(item, path, depth + 1, branching=branching or key in BRANCHES)

    def _follow(self, ref: str, path: frozenset[str], depth: int, *, branching: bool) -> None:
        target = None if ref in path else _resolve(self.schema, ref)
        if target is None:
            self.returns += branching
        else:
            self.go(target, path | {ref}, depth + 1, branching=branching)


def measure(schema: Any) -> Tangle:
    """Stops counting at more places than are allowed."""
    walk = _Walk(schema)
    walk.go(schema, frozenset(("#",)), 0, branching=False)
    return Tangle(walk.places, walk.returns)


def _below(node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, item in node.items():
        if key in NAMED and isinstance(item, dict):
            yield from ((key, one) for one in item.values())
        elif key not in SHELVES:
            yield from ((key, one) for one in (item if isinstance(item, list) else (item,)))


def _resolve(schema: Any, ref: str) -> Any | None:
    """Where a pointer leads; None for any other reference."""
    if not ref.startswith("#/"):
        return None
    for part in unquote(ref[2:]).split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(schema, dict):
            schema = schema.get(name)
        else:
            schema = (
                schema[int(name)] if isinstance(schema, list) and name.isdecimal() and int(name) < len(schema) else None
            )
    return schema


def _depth(document: Any) -> int:
    level, depth = [document], 0
    while level := [below for one in level for below in _items(one)]:
        depth += 1
    return depth


def _items(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
