"""Each mistake in the section `guards` is told at start, with the key and what is allowed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell_proxy.guards.settings import read_guards

BAD: list[tuple[dict[str, Any], str]] = [
    ({"type": "magic"}, "type: 'magic' is not known; allowed are pii"),
    ({"type": "pii", "kind": "email"}, "kind: not known; allowed are name"),
    ({"type": "pii", "kinds": ["mail"]}, "kinds: 'mail' is not known"),
    ({"type": "pii", "mode": "blur"}, "mode: 'blur'"),
    ({"type": "pii", "action": "hide"}, "action: 'hide'"),
    ({"type": "pii", "on": ["stream"]}, "on: pii looks at input and output"),
    ({"type": "pii", "reversible": True, "mode": "drop"}, "reversible: "),
    ({"type": "pii", "reversible": True, "action": "block"}, "reversible: "),
    ({"type": "pii", "name": ""}, "name: write a name"),
    ({"type": "words"}, "write deny"),
    ({"type": "words", "deny": ["("]}, "no pattern of RE2"),
    ({"type": "words", "allow": ["x"], "on": "output"}, "allow: "),
    ({"type": "injection", "threshold": 2}, "threshold: write a number from 0.05 to 1"),
    ({"type": "context"}, "max_tokens: "),
    ({"type": "schema"}, "schema: write a JSON schema"),
    ({"type": "schema", "schema": "missing.json"}, "schema: "),
    ({"type": "schema", "schema": {"type": 7}}, "schema: "),
    ({"type": "schema", "schema": {}, "on": "input"}, "on: schema looks at output"),
    ({"type": "model"}, "model: "),
    ({"type": "model", "model": "x", "async": "yes"}, "async: write true or false"),
    ({"type": "model", "model": "x", "async": True, "on": "output"}, "async: "),
    ({"type": "call", "call": "nowhere:check"}, "call: "),
    ({"type": "call", "call": "json:nothing"}, "call: "),
]


@pytest.mark.parametrize(("fields", "told"), BAD)
def test_a_mistake_is_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_guards(Config(source="file", guards=[{"name": "mine", **fields}]), lambda: bytes(32))

    assert str(caught.value).startswith("file: guards[0]")
    assert told in str(caught.value)


def test_a_name_stands_once() -> None:
    guard = {"name": "mine", "type": "secrets"}

    with pytest.raises(ConfigError, match="stands twice"):
        read_guards(Config(guards=[guard, guard]), lambda: bytes(32))


def test_a_bare_on_is_a_yes_to_yaml_and_understood() -> None:
    item: Any = yaml.safe_load("{name: a, type: secrets, on: [output]}")

    guards = read_guards(Config(guards=[item]), lambda: bytes(32))

    assert guards
    assert [guard.on for guard in guards.guards] == [frozenset(("output",))]


def test_no_guards_cost_nothing() -> None:
    assert read_guards(Config(), lambda: bytes(32)) is None


def test_a_schema_may_be_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "shape.json").write_text('{"type": "object"}', encoding="utf-8")
    config = Config(
        source=str(tmp_path / "spanwell.yaml"), guards=[{"name": "a", "type": "schema", "schema": "shape.json"}]
    )

    guards = read_guards(config, lambda: bytes(32))

    assert guards
    watch = guards.find("any")
    assert watch
    assert (watch.input, [guard.name for guard in watch.output]) == ((), ["a"])
