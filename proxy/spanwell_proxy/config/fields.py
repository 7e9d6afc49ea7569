"""Typed values out of a section of the file. Each raises ConfigError, naming the key and what is allowed."""

import sys
from collections.abc import Mapping
from typing import Any

from spanwell.errors import ConfigError

FLAGS = {"true": True, "1": True, "false": False, "0": False}


def read_mapping(entry: Any, key: str, where: str) -> Mapping[str, Any]:
    value = entry.get(key) or {} if isinstance(entry, dict) else None
    if not isinstance(value, dict):
        raise ConfigError(f"{where}.{key}: must be a mapping")
    return value


def read_text(section: Mapping[str, Any], key: str, where: str) -> str:
    """Empty where it is missing."""
    value = section.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.isprintable():
        raise ConfigError(f"{where}.{key}: write text, on one line")
    if key in ("api_base", "api_key") and (not value.isascii() or " " in value):
        raise ConfigError(f"{where}.{key}: write ASCII without spaces: it goes into a request's head")
    return value


def read_number(section: Mapping[str, Any], key: str, default: float, where: str) -> float:
    """What comes from the environment is text: a number in it is one."""
    value = section.get(key, default)
    if value is None:
        return default
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = -1
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise ConfigError(f"{where}.{key}: write a number that is not negative")
    return float(value)


def read_whole(section: Mapping[str, Any], key: str, where: str) -> int | None:
    """None where it is missing."""
    if section.get(key) is None:
        return None
    value = read_number(section, key, 0, where)
    if not value.is_integer():
        raise ConfigError(f"{where}.{key}: write a whole number")
    return int(value)


def read_flag(section: Mapping[str, Any], key: str, where: str, *, default: bool = False) -> bool:
    value = section.get(key)
    if value is None:
        return default
    known = FLAGS.get(str(value).lower())
    if known is None:
        raise ConfigError(f"{where}.{key}: write true or false")
    return known


def read_words(section: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """A list of texts; empty where it is missing."""
    value = section.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ConfigError(f"{where}.{key}: write a list of names")
    return tuple(value)
