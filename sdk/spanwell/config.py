"""Reads spanwell.yaml: syntax, sections and `os.environ/NAME` references. What a section means is for its service."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from spanwell.errors import ConfigError
from spanwell.masking import mask_secrets

LITELLM_SECTIONS = (
    *("model_list", "credential_list", "router_settings", "litellm_settings", "general_settings"),
    *("environment_variables", "include"),
)
# What LiteLLM 1.106's proxy reads besides, for things that Spanwell does not have: read past, and named in the log.
UNUSED_SECTIONS = (
    "agent_list",
    "agents",
    "assistant_settings",
    "callback_settings",
    "default_vertex_config",
    "files_settings",
    "finetune_settings",
    "guardrails",
    "mcp_servers",
    "mcp_tools",
    "policies",
    "policy_attachments",
    "prompts",
    "sandbox_tools",
    "search_tools",
    "vector_store_registry",
    "worker_registry",
)
OWN_SECTIONS = (
    *("backends", "routing", "resilience", "guards", "limits", "cache", "batches"),  # the gateway's
    *("judges", "drift", "alerts", "retention", "prices", "gpu_hours"),
)
LISTS = ("model_list", "credential_list", "backends", "guards", "judges", "prices", "gpu_hours")
REFERENCE = "os.environ/"
# LiteLLM starts where what these refer to is not set; whoever needs it says so. In all other sections it must be.
LENIENT = ("router_settings", "litellm_settings", "general_settings")


@dataclass(frozen=True)
class Config:
    """The file's sections, references resolved. `model_list` and the `*_settings` are LiteLLM's own format.

    `environ` holds the variables that references were read from: the process's own, over `environment_variables`.
    Sections hold keys, so a repr shows none of them.
    """

    source: str = "no file"
    model_list: list[dict[str, Any]] = field(default_factory=list, repr=False)
    credential_list: list[dict[str, Any]] = field(default_factory=list, repr=False)
    router_settings: dict[str, Any] = field(default_factory=dict, repr=False)
    litellm_settings: dict[str, Any] = field(default_factory=dict, repr=False)
    general_settings: dict[str, Any] = field(default_factory=dict, repr=False)
    backends: list[dict[str, Any]] = field(default_factory=list, repr=False)
    routing: dict[str, Any] = field(default_factory=dict, repr=False)
    resilience: dict[str, Any] = field(default_factory=dict, repr=False)
    guards: list[dict[str, Any]] = field(default_factory=list, repr=False)
    limits: dict[str, Any] = field(default_factory=dict, repr=False)
    cache: dict[str, Any] = field(default_factory=dict, repr=False)
    batches: dict[str, Any] = field(default_factory=dict, repr=False)
    judges: list[dict[str, Any]] = field(default_factory=list, repr=False)
    drift: dict[str, Any] = field(default_factory=dict, repr=False)
    alerts: dict[str, Any] = field(default_factory=dict, repr=False)
    retention: dict[str, Any] = field(default_factory=dict, repr=False)
    prices: list[dict[str, Any]] = field(default_factory=list, repr=False)
    gpu_hours: list[dict[str, Any]] = field(default_factory=list, repr=False)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    unused: tuple[str, ...] = ()  # sections that mean something to LiteLLM alone
    unset: tuple[str, ...] = ()  # keys of LENIENT sections, as `section.key`, whose variable is not set: left out
    files: tuple[Path, ...] = ()  # that it was read from


def load_config(path: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read `path`; None is an empty configuration. Raises ConfigError with file, key and what is allowed."""
    if path is None:
        return Config()
    files: list[Path] = []
    document = _read_document(path, files)
    unknown = [key for key in document if key not in LITELLM_SECTIONS + UNUSED_SECTIONS + OWN_SECTIONS]
    if unknown:
        raise ConfigError(
            f"{path}: unknown key {unknown[0]!r}; allowed are {', '.join(LITELLM_SECTIONS + OWN_SECTIONS)}"
        )
    if isinstance(document.get("prices"), str):  # a file of its own, that others may write
        files.append(path.parent / document["prices"])
        document["prices"] = _read_yaml(files[-1])
    unused = tuple(key for key in document if key in UNUSED_SECTIONS)
    environ = {**_read_variables(path, document.pop("environment_variables", None)), **environ}
    unset = _drop_unset(document, environ)
    sections = {
        key: _resolve(value, environ, f"{path}: {key}")
        for key, value in document.items()
        if value is not None and key not in unused
    }
    for key, value in sections.items():
        _check_section(f"{path}: {key}", value, is_list=key in LISTS)
    return Config(source=str(path), **sections, environ=environ, unused=unused, unset=unset, files=tuple(files))


def _read_document(path: Path, files: list[Path]) -> dict[str, Any]:
    """The file with those that it includes, as LiteLLM joins them: lists grow, of all else the included one counts."""
    files.append(path)
    document = _read_yaml(path) or {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: the file must be a mapping with keys like model_list")
    included = document.pop("include", None) or []
    if not isinstance(included, list) or not all(isinstance(name, str) for name in included):
        raise ConfigError(f"{path}: include must be a list of files")
    for name in included:
        if path.parent / name in files:
            raise ConfigError(f"{path}: include: {name} is included already")
        for key, value in _read_document(path.parent / name, files).items():
            known = document.get(key)
            document[key] = [*known, *value] if isinstance(known, list) and isinstance(value, list) else value
    return document


def _drop_unset(document: dict[str, Any], environ: Mapping[str, str]) -> tuple[str, ...]:
    unset = []
    for section in LENIENT:
        given = document.get(section)
        settings = given if isinstance(given, dict) else {}
        for key in list(settings):
            if key == "master_key":  # without it there may be no lock at all
                continue
            try:
                _resolve(settings[key], environ, key)
            except ConfigError:
                del settings[key]
                unset.append(f"{section}.{key}")
    return tuple(unset)


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date such as 2026-13-01, brackets without end
        raise ConfigError(f"{path}: not YAML: {_explain(error)}") from None


def _explain(error: Exception) -> str:
    """Where and what, without the line itself: it may hold a key."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return mask_secrets(str(error).splitlines()[0])
    return f"line {error.problem_mark.line + 1}: {mask_secrets(error.problem or 'unreadable')}"


def _read_variables(path: Path, section: Any) -> dict[str, str]:
    if section is not None and not isinstance(section, dict):
        raise ConfigError(f"{path}: environment_variables must be a mapping")
    return {str(name): str(value) for name, value in (section or {}).items()}


def _check_section(where: str, value: Any, *, is_list: bool) -> None:
    if not isinstance(value, list if is_list else dict):
        raise ConfigError(f"{where} must be a {'list' if is_list else 'mapping'}")
    for index, item in enumerate(value if is_list else ()):
        if not isinstance(item, dict):
            raise ConfigError(f"{where}[{index}] must be a mapping")


def _resolve(value: Any, environ: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        # Whatever is told to a backend of it is JSON, which knows no other names: `logit_bias: {50256: -100}`.
        return {str(key): _resolve(item, environ, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, environ, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, str) and value.startswith(REFERENCE):
        name = value.removeprefix(REFERENCE)
        if name not in environ:
            raise ConfigError(f"{where}: environment variable {name} is not set")
        return environ[name]
    return value
