"""The table of whose names become ours: read from mapping.yaml, checked, and asked by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from spanwell import conventions as c
from spanwell.errors import ConfigError
from spanwell_collector.dialects.detect import DIALECTS

FILE: Final = Path(__file__).with_name("mapping.yaml")
UNITS: Final = frozenset({"ms"})
OUR_NAMES: Final = frozenset(value for value in vars(c).values() if isinstance(value, str) and "." in value)
LONGEST_PATH: Final = 2  # keys
TARGET_FIELDS: Final = frozenset({"from", "words", "list"})
SOURCE_FIELDS: Final = frozenset({"from", "unit", "only"})


@dataclass(frozen=True, slots=True)
class Source:
    """An attribute, or the value at `path` in the JSON that it holds; with `only`, believed in that dialect alone."""

    name: str
    path: tuple[str, ...] = ()
    unit: str = ""
    only: str = ""

    def __str__(self) -> str:
        return " -> ".join((self.name, ".".join(self.path))) if self.path else self.name


@dataclass(frozen=True, slots=True)
class Target:
    """One of our attributes: its sources, the first present wins, and our words for foreign values in lower case."""

    name: str
    sources: tuple[Source, ...]
    words: Mapping[str, str]  # of a list, also those for it as JSON text with one word in it


Mappings = Mapping[str, Target]


def load_mapping(text: str | None = None) -> Mappings:
    """By our name. Raises ConfigError with the line and the field."""
    try:
        root = yaml.compose(FILE.read_text(encoding="utf-8") if text is None else text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"mapping: {error}") from error
    targets = {name.value: _read_target(name, node) for name, node in _pairs(root, "mapping", None)}
    _check_sources(targets)
    return targets


def list_sources(mapping: Mappings) -> Iterator[tuple[Target, int, Source]]:
    """Every source with its rank: an attribute that has our name already ranks 0."""
    for target in mapping.values():
        for rank, source in enumerate(target.sources, start=1):
            yield target, rank, source


def look_up(target: Target, attributes: Mapping[str, Any]) -> Any:
    """The value of the first plain source that is present, else None. Paths into JSON are the engine's."""
    if (value := attributes.get(target.name)) is not None:
        return value
    for source in target.sources:
        if (value := attributes.get(source.name)) is not None and not source.path and not source.only:
            return value
    return None


def say(target: Target, value: Any) -> str:
    """`value` in our words."""
    text = str(value).lower()
    return target.words.get(text, text)


def _read_target(name: yaml.Node, node: yaml.Node) -> Target:
    if name.value not in OUR_NAMES:
        raise _wrong(name, f"{name.value!r} is no name of spanwell.conventions")
    fields = {key.value: value for key, value in _pairs(node, name.value, TARGET_FIELDS)}
    listed = fields.get("from")
    if not isinstance(listed, yaml.SequenceNode):
        raise _wrong(node, f"{name.value}: from: a list of sources is needed")
    words = {_text(key, "words").lower(): _text(value, "words") for key, value in _word_pairs(fields, name.value)}
    if _choice(fields, "list", frozenset({"true", "false"})) == "true":
        words |= {f'["{word}"]': f'["{said}"]' for word, said in words.items()}
    return Target(name.value, tuple(_read_source(item) for item in listed.value), words)


def _word_pairs(fields: Mapping[str, yaml.Node], name: str) -> list[tuple[yaml.Node, yaml.Node]]:
    return _pairs(fields["words"], f"{name}: words", None) if "words" in fields else []


def _read_source(node: yaml.Node) -> Source:
    if isinstance(node, yaml.ScalarNode):
        return _split_source(node)
    fields = {key.value: value for key, value in _pairs(node, "from", SOURCE_FIELDS)}
    if "from" not in fields:
        raise _wrong(node, "from: a source needs the name it is `from`")
    source = _split_source(fields["from"])
    unit = _choice(fields, "unit", UNITS)
    only = _choice(fields, "only", DIALECTS)
    if source.path and (unit or only):
        raise _wrong(node, f"{source}: a path into JSON has neither unit nor only")
    return Source(source.name, source.path, unit, only)


def _split_source(node: yaml.Node) -> Source:
    name, arrow, path = _text(node, "from").partition(" -> ")
    steps = tuple(path.split(".")) if arrow else ()
    if not name or " " in name or "" in steps or len(steps) > LONGEST_PATH:
        raise _wrong(node, f"{node.value!r}: a source is `name`, `name -> key` or `name -> key.key`")
    return Source(name, steps)


def _choice(fields: Mapping[str, yaml.Node], field: str, allowed: frozenset[str]) -> str:
    if field not in fields:
        return ""
    if (value := _text(fields[field], field)) not in allowed:
        raise _wrong(fields[field], f"{field}: {value!r} is none of {', '.join(sorted(allowed))}")
    return value


def _check_sources(targets: Mappings) -> None:
    """A plain name feeds one attribute of ours: the engine looks each name up once."""
    taken: dict[tuple[str, str], str] = {(name, ""): name for name in targets}
    for target, _, source in list_sources(targets):
        key = (source.name, source.only)
        if not source.path and taken.setdefault(key, target.name) != target.name:
            raise ConfigError(f"mapping: {target.name}: from: {source.name!r} feeds {taken[key]} already")


def _pairs(node: yaml.Node | None, field: str, allowed: frozenset[str] | None) -> list[tuple[yaml.Node, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        message = f"{field}: names and values are needed"
        raise ConfigError(f"mapping: {message}") if node is None else _wrong(node, message)
    seen: set[str] = set()
    for key, _ in node.value:
        if allowed is not None and key.value not in allowed:
            raise _wrong(key, f"{field}: {key.value!r} is none of {', '.join(sorted(allowed))}")
        if key.value in seen:
            raise _wrong(key, f"{field}: {key.value!r} is there twice")
        seen.add(key.value)
    return list(node.value)


def _text(node: yaml.Node, field: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _wrong(node, f"{field}: text is needed")
    return str(node.value)


def _wrong(node: yaml.Node, message: str) -> ConfigError:
    return ConfigError(f"mapping: line {node.start_mark.line + 1}: {message}")
