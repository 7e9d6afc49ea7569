"""Reads the section `guards`: a list of {name, type, on, models, action} and what each type has of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import yaml

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell.pii import KINDS
from spanwell_proxy.guarded import Action, Where
from spanwell_proxy.guards.callables import find_callable, judge_by_call
from spanwell_proxy.guards.finding import Mode, find_credentials, find_persons, write_hash, write_kind, write_nothing
from spanwell_proxy.guards.injection import DEFAULT_THRESHOLD, judge_injection
from spanwell_proxy.guards.judging import Guard, Guards, Write
from spanwell_proxy.guards.moderation import CATEGORIES, judge_by_chat, judge_by_moderation
from spanwell_proxy.guards.prompts import judge_context, judge_size
from spanwell_proxy.guards.schemas import FROM_REQUEST, compile_schema, judge_schema
from spanwell_proxy.guards.words import compile_patterns, find_words, judge_topic

COMMON: Final = ("name", "type", "on", "models", "action")
MODES: Final = ("mask", "hash", "drop")
DEFAULT_KINDS: Final = ("email", "phone", "iban", "card", "ssn", "national_id", "passport")
MOST: Final = 10_000_000
FindKey = Callable[[], bytes]


@dataclass(frozen=True)
class Item:
    """One item of the list, and where it stands."""

    fields: Mapping[str, Any]
    where: str
    folder: Path  # of the configuration file
    find_key: FindKey

    def text(self, key: str, default: str = "") -> str:
        value = self.fields.get(key, default)
        if not isinstance(value, str):
            raise ConfigError(f"{self.where}.{key}: write text")
        return value

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self.fields.get(key, list(default))
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise ConfigError(f"{self.where}.{key}: write a list of texts")
        return tuple(listed)

    def one_of(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.fields.get(key, default)
        if value not in allowed:
            raise ConfigError(f"{self.where}.{key}: {value!r} is not known; allowed are {', '.join(allowed)}")
        return str(value)

    def truth(self, key: str) -> bool:
        value = self.fields.get(key, False)
        if not isinstance(value, bool):
            raise ConfigError(f"{self.where}.{key}: write true or false")
        return value

    def number(self, key: str, default: float | None, least: float, most: float) -> float | None:
        value = self.fields.get(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ConfigError(f"{self.where}.{key}: write a number from {least:g} to {most:g}")
        return float(value)

    def whole(self, key: str, default: int | None) -> int | None:
        number = self.number(key, default, 0, MOST)
        return None if number is None else int(number)


@dataclass(frozen=True)
class Type:
    """What a type of guard may be told, where it may look, what it may do (its default first), and how it is made."""

    keys: tuple[str, ...]
    on: tuple[Where, ...]
    actions: tuple[str, ...]
    make: Callable[[Item], dict[str, Any]]  # fields of Guard


def read_guards(config: Config, find_key: FindKey) -> Guards | None:
    """None where there are none. Raises ConfigError naming the key and what is allowed."""
    folder = Path(config.source).parent
    items = [
        Item(_name_on(fields), f"{config.source}: guards[{index}]", folder, find_key)
        for index, fields in enumerate(config.guards)
    ]
    guards = [_read_guard(item) for item in items]
    names = [guard.name for guard in guards]
    for item, name in zip(items, names, strict=True):
        if names.count(name) > 1:
            raise ConfigError(f"{item.where}.name: {name!r} stands twice; verdicts are told apart by it")
    return Guards(guards) if guards else None


def _name_on(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """YAML takes a bare `on` for a yes."""
    return {"on" if str(key) == "True" else str(key): value for key, value in fields.items()}


def _read_guard(item: Item) -> Guard:
    kind = TYPES[item.one_of("type", tuple(TYPES), "")]
    unknown = [key for key in item.fields if key not in (*COMMON, *kind.keys)]
    if unknown:
        raise ConfigError(f"{item.where}.{unknown[0]}: not known; allowed are {', '.join((*COMMON, *kind.keys))}")
    name = item.text("name")
    if not name or not name.isprintable() or len(name) > 100:
        raise ConfigError(f"{item.where}.name: write a name, on one line; errors and spans show it")
    places = item.texts("on", kind.on[:1])
    wrong = [place for place in places if place not in kind.on]
    if wrong or not places:
        raise ConfigError(f"{item.where}.on: {item.text('type')} looks at {' and '.join(kind.on)}")
    action = item.one_of("action", kind.actions, kind.actions[0])
    fields = kind.make(item)
    if fields.get("asks_again"):
        action = "block"
    return Guard(
        name=name,
        on=frozenset(cast(tuple[Where, ...], places)),
        action=cast(Action, "mask" if action == "cut" else "block" if action == "retry" else action),
        models=item.texts("models"),
        **fields,
    )


def _pii(item: Item) -> dict[str, Any]:
    kinds = item.texts("kinds", DEFAULT_KINDS)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ConfigError(f"{item.where}.kinds: {unknown[0]!r} is not known; allowed are {', '.join(KINDS)}")
    reversible = item.truth("reversible")
    if reversible and ("mode" in item.fields or item.fields.get("action", "mask") != "mask"):
        raise ConfigError(f"{item.where}.reversible: it is a mode of its own, of action mask; leave mode out")
    write = write_hash(item.find_key()) if reversible else _read_mode(item)
    return {"finder": find_persons(frozenset(kinds), write), "is_reversible": reversible}


def _secrets(item: Item) -> dict[str, Any]:
    return {"finder": find_credentials(_read_mode(item))}


def _read_mode(item: Item) -> Write:
    mode = cast(Mode, item.one_of("mode", MODES, "mask"))
    if mode == "hash":
        return write_hash(item.find_key())
    return write_nothing if mode == "drop" else write_kind


def _words(item: Item) -> dict[str, Any]:
    given = [key for key in ("deny", "allow") if key in item.fields]
    if len(given) != 1:
        raise ConfigError(f"{item.where}: write deny, with patterns that must not match, or allow, of which one must")
    listed = item.fields[given[0]]
    if isinstance(listed, dict) and all(isinstance(pattern, str) for pattern in listed.values()):
        named = {str(name): pattern for name, pattern in listed.items()}
    else:
        named = {f"pattern_{at}": pattern for at, pattern in enumerate(item.texts(given[0]), 1)}
    if not named:
        raise ConfigError(f"{item.where}.{given[0]}: write a list of patterns, or a mapping of names to patterns")
    patterns = compile_patterns(named, f"{item.where}.{given[0]}")
    if given[0] == "deny":
        return {"finder": find_words(patterns)}
    if item.texts("on", ("input",)) != ("input",) or item.fields.get("action") == "mask":
        raise ConfigError(f"{item.where}.allow: it looks at input, to block or to flag")
    return {"judge": judge_topic(list(patterns.values()))}


def _injection(item: Item) -> dict[str, Any]:
    threshold = item.number("threshold", DEFAULT_THRESHOLD, 0.05, 1)
    return {"judge": judge_injection(threshold or DEFAULT_THRESHOLD)}


def _prompt(item: Item) -> dict[str, Any]:
    least = item.whole("min_chars", 1)
    return {"judge": judge_size(least or 0, item.whole("max_chars", None), item.whole("max_tokens", None))}


def _context(item: Item) -> dict[str, Any]:
    most = item.whole("max_tokens", None)
    if not most:
        raise ConfigError(f"{item.where}.max_tokens: write how many tokens a request may have")
    return {"judge": judge_context(most)}


def _schema(item: Item) -> dict[str, Any]:
    given, where = item.fields.get("schema"), f"{item.where}.schema"
    if isinstance(given, str) and given != FROM_REQUEST:
        try:
            given = yaml.safe_load((item.folder / given).read_text(encoding="utf-8"))  # JSON is YAML
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}: {error}") from None
    if given != FROM_REQUEST and not isinstance(given, dict):
        raise ConfigError(f"{where}: write a JSON schema, the name of a file with one, or {FROM_REQUEST}")
    validator = None if given == FROM_REQUEST else compile_schema(given, where)
    return {"judge": judge_schema(validator), "asks_again": item.fields.get("action") == "retry"}


def _model(item: Item) -> dict[str, Any]:
    model = item.text("model")
    if not model:
        raise ConfigError(f"{item.where}.model: write a model_name of model_list")
    categories = item.fields.get("categories", CATEGORIES)
    if not isinstance(categories, dict) or not categories:
        raise ConfigError(f"{item.where}.categories: write a mapping of names to what they mean")
    api = item.one_of("api", ("chat", "moderations"), "chat")
    meanings = {str(name): str(meaning) for name, meaning in categories.items()}
    judge = judge_by_moderation(model) if api == "moderations" else judge_by_chat(model, meanings)
    is_beside = item.truth("async")
    if is_beside and item.texts("on", ("input",)) != ("input",):
        raise ConfigError(f"{item.where}.async: only what looks at input can run beside the call")
    return {"judge": judge, "is_beside": is_beside, **_patience(item)}


def _call(item: Item) -> dict[str, Any]:
    function = find_callable(item.text("call"), f"{item.where}.call")
    return {"judge": judge_by_call(function), **_patience(item)}


def _patience(item: Item) -> dict[str, Any]:
    timeout_s = item.number("timeout_seconds", 10, 0.001, 600)
    return {"timeout_s": timeout_s, "on_error": item.one_of("on_error", ("block", "pass"), "block")}


BOTH: Final[tuple[Where, ...]] = ("input", "output")
TYPES: Final[Mapping[str, Type]] = {
    "pii": Type(("kinds", "mode", "reversible"), BOTH, ("mask", "block", "flag"), _pii),
    "secrets": Type(("mode",), BOTH, ("mask", "block", "flag"), _secrets),
    "words": Type(("deny", "allow"), BOTH, ("block", "mask", "flag"), _words),
    "injection": Type(("threshold",), BOTH, ("flag", "block"), _injection),
    "prompt": Type(("min_chars", "max_chars", "max_tokens"), ("input",), ("block", "flag"), _prompt),
    "context": Type(("max_tokens",), ("input",), ("cut", "block", "flag"), _context),
    "schema": Type(("schema",), ("output",), ("block", "retry", "flag"), _schema),
    "model": Type(
        ("model", "api", "categories", "async", "timeout_seconds", "on_error"), BOTH, ("block", "flag"), _model
    ),
    "call": Type(("call", "timeout_seconds", "on_error"), BOTH, ("block", "mask", "flag"), _call),
}
