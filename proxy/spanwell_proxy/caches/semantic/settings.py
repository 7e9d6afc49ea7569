"""Reads `cache.semantic`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from spanwell.errors import ConfigError

KEYS: Final = (
    *("models", "embedder", "threshold", "max_temperature", "max_entries", "ttl_seconds"),
    *("verify_sample", "judge", "max_false_hits"),
)
EMBEDDERS: Final = {"endpoint": "model", "minilm": "path", "hashing": None}


@dataclass(frozen=True)
class SemanticSettings:
    """`models` names the routes that opted in. `embedder` is a kind and its model or path.

    A share of `verify_sample` of the hits is asked anyway, and `judge` says whether the answers say the same; once that
    has shown more than `max_false_hits` of a model's hits to be wrong, they stop.
    """

    models: frozenset[str]
    embedder: tuple[str, str]
    threshold: float = 0.92
    max_temperature: float = 1.0
    max_entries: int = 50_000
    ttl_s: float | None = None
    verify_sample: float = 0.0
    judge: str = ""
    max_false_hits: float = 0.05


def read_semantic_settings(section: Mapping[str, Any], where: str, models: set[str]) -> SemanticSettings | None:
    """None without a section. `models` are the routes there are. Raises ConfigError naming the key."""
    where = f"{where}: cache.semantic"
    if not section:
        return None
    unknown = [key for key in section if key not in KEYS]
    if unknown:
        raise ConfigError(f"{where}.{unknown[0]}: unknown key; allowed are {', '.join(KEYS)}")
    named = section.get("models")
    if not isinstance(named, list) or not named or not set(map(str, named)) <= models:
        raise ConfigError(f"{where}.models: write a list of model names of model_list")
    sample, judge = _share(section, "verify_sample", 0.0, where), str(section.get("judge") or "")
    if sample and judge not in models:
        raise ConfigError(f"{where}.judge: verify_sample needs a model name of model_list that compares two answers")
    entries, ttl_s = section.get("max_entries", 50_000), section.get("ttl_seconds")
    if isinstance(entries, bool) or not isinstance(entries, int) or not 1 <= entries <= 10_000_000:
        raise ConfigError(f"{where}.max_entries: write a whole number from 1 to 10000000")
    if ttl_s is not None and (isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float) or ttl_s <= 0):
        raise ConfigError(f"{where}.ttl_seconds: write a number above nought")
    return SemanticSettings(
        models=frozenset(map(str, named)),
        embedder=_read_embedder(section.get("embedder"), where, models),
        threshold=_share(section, "threshold", 0.92, where),
        max_temperature=_share(section, "max_temperature", 1.0, where, most=2.0),
        max_entries=entries,
        ttl_s=ttl_s,
        verify_sample=sample,
        judge=judge,
        max_false_hits=_bound(section, where),
    )


def _read_embedder(given: Any, where: str, models: set[str]) -> tuple[str, str]:
    kind = given.get("type") if isinstance(given, dict) else None
    if kind not in EMBEDDERS:
        raise ConfigError(f"{where}.embedder.type: write one of {', '.join(EMBEDDERS)}")
    needs = EMBEDDERS[kind]
    value = str(given.get(needs) or "") if needs else ""
    if kind == "endpoint" and value not in models:
        raise ConfigError(f"{where}.embedder.model: write a model name of model_list that makes embeddings")
    if kind == "minilm" and not Path(value).is_dir():
        raise ConfigError(f"{where}.embedder.path: write the folder with model.safetensors and tokenizer.json")
    return kind, value


def _bound(section: Mapping[str, Any], where: str) -> float:
    """No test can show a rate to be above nought by chance alone, or above one at all."""
    value = _share(section, "max_false_hits", 0.05, where)
    if not 0 < value < 1:
        raise ConfigError(f"{where}.max_false_hits: write a number between 0 and 1, such as 0.05")
    return value


def _share(section: Mapping[str, Any], key: str, default: float, where: str, most: float = 1.0) -> float:
    value = section.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ConfigError(f"{where}.{key}: write a number from 0 to {most:g}")
    return float(value)
