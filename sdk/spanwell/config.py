"""Reads spanwell.yaml: syntax, sections and `os.environ/NAME` references. What a section means is for its service."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from spanwell.errors import ConfigError

LITELLM_SECTIONS = ("model_list", "router_settings", "litellm_settings", "general_settings", "environment_variables")
OWN_SECTIONS = ("cache", "judges", "drift", "alerts")
REFERENCE = "os.environ/"


@dataclass(frozen=True)
class Config:
    """The file's sections, references resolved. `model_list` and the `*_settings` are LiteLLM's own format."""

    source: str = "no file"
    model_list: list[dict[str, Any]] = field(default_factory=list)
    router_settings: dict[str, Any] = field(default_factory=dict)
    litellm_settings: dict[str, Any] = field(default_factory=dict)
    general_settings: dict[str, Any] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)
    judges: list[dict[str, Any]] = field(default_factory=list)
    drift: dict[str, Any] = field(default_factory=dict)
    alerts: dict[str, Any] = field(default_factory=dict)


def load_config(path: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read `path`; None is an empty configuration. Raises ConfigError with file, key and what is allowed."""
    if path is None:
        return Config()
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: the file must be a mapping with keys like model_list")
    unknown = [key for key in document if key not in LITELLM_SECTIONS + OWN_SECTIONS]
    if unknown:
        raise ConfigError(
            f"{path}: unknown key {unknown[0]!r}; allowed are {', '.join(LITELLM_SECTIONS + OWN_SECTIONS)}"
        )
    environ = {**document.pop("environment_variables", {}), **environ}
    sections = {key: _resolve(value, environ, f"{path}: {key}") for key, value in document.items() if value is not None}
    for key, value in sections.items():
        expected = list if key in ("model_list", "judges") else dict
        if not isinstance(value, expected):
            raise ConfigError(f"{path}: {key} must be a {'list' if expected is list else 'mapping'}")
    return Config(source=str(path), **sections)


def _resolve(value: Any, environ: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(item, environ, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, environ, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, str) and value.startswith(REFERENCE):
        name = value.removeprefix(REFERENCE)
        if name not in environ:
            raise ConfigError(f"{where}: environment variable {name} is not set")
        return environ[name]
    return value
