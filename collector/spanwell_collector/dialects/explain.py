"""Which source an attribute of ours came from: the mapping followed in Python, as the engine follows it in SQL."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from spanwell import conventions as c
from spanwell_collector.dialects.jsontext import to_text, undo_json
from spanwell_collector.dialects.mapping import OUR_NAMES, Mappings, Source, Target


class Fact(NamedTuple):
    """A value in our words, and where it was found."""

    value: str
    source: str


def explain(mapping: Mappings, attributes: Mapping[str, Any]) -> dict[str, Fact]:
    """Every attribute of ours that `attributes`, as `refine` leaves them, fill."""
    dialect = str(attributes.get(c.DIALECT, ""))
    facts = {target.name: _find(target, attributes, dialect) for target in mapping.values()}
    return {name: fact for name, fact in facts.items() if fact.value}


def list_unmapped(mapping: Mappings, attributes: Mapping[str, Any]) -> list[str]:
    """The names that are no source of anything, and no name of ours."""
    dialect = attributes.get(c.DIALECT)
    sources = (source for target in mapping.values() for source in target.sources)
    known = {source.name for source in sources if source.only in ("", dialect)} | OUR_NAMES
    return [name for name in attributes if name not in known]


def _find(target: Target, attributes: Mapping[str, Any], dialect: str) -> Fact:
    for source in (Source(target.name), *target.sources):
        if source.only in ("", dialect) and (value := _say(target, _read(source, attributes.get(source.name)))):
            return Fact(value, str(source))
    return Fact("", "")


def _read(source: Source, value: Any) -> str:
    if source.unit == "ms" and value is not None:
        return _to_seconds(value)
    for step in source.path:
        value = undo_json(value)
        value = value.get(step) if isinstance(value, Mapping) else None
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else to_text(value)


def _to_seconds(ms: Any) -> str:
    try:
        return str(float(ms) / 1000)
    except (TypeError, ValueError):
        return ""


def _say(target: Target, text: str) -> str:
    return target.words.get(text.lower(), text.lower()) if target.words else text
