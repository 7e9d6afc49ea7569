"""What is to happen when deployments fail, as `router_settings` say it: fallbacks, retries, cooldowns. Data alone."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from spanwell.errors import ConfigError
from spanwell_proxy.config.fields import read_flag, read_mapping, read_number, read_whole

DEFAULT_RETRIES: Final = 2
# LiteLLM's names of exceptions, which its policies are written by, and how a failure is classed here.
CLASSES: Final = {
    "BadRequestError": "bad_request",
    "AuthenticationError": "authentication",
    "TimeoutError": "timeout",
    "RateLimitError": "rate_limit",
    "ContentPolicyViolationError": "content_policy",
    "InternalServerError": "internal",
    "ServiceUnavailableError": "unavailable",
    "NotFoundError": "not_found",
}
CONTEXT_WINDOW: Final = "context_window"
CONTENT_POLICY: Final = "content_policy"

Named = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Retries:
    """How many further attempts a call gets, by the class of its failure."""

    default: int = DEFAULT_RETRIES
    by_class: Mapping[str, int] = field(default_factory=dict)

    def count(self, failure_class: str) -> int:
        return self.by_class.get(failure_class, self.default)


@dataclass(frozen=True)
class Cooling:
    """When a deployment that fails is left alone. What is None is for the breaker to say."""

    enabled: bool = True
    allowed_fails: int | None = None
    allowed_by_class: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class Fallbacks:
    """Which models to ask instead, by the model that was asked."""

    others: Named = field(default_factory=dict)
    default: tuple[str, ...] = ()  # for models that have none of their own
    context_window: Named = field(default_factory=dict)
    content_policy: Named = field(default_factory=dict)
    most: int | None = None  # of them are tried

    def find(self, model: str, failure_class: str = "") -> tuple[str, ...]:
        """In their order. Of a class of failure that has fallbacks of its own, those."""
        special = {CONTEXT_WINDOW: self.context_window, CONTENT_POLICY: self.content_policy}.get(failure_class, {})
        found = special.get(model) or special.get("*") or self.others.get(model, self.default)
        return tuple(other for other in found if other != model)[: self.most]


def read_fallbacks(settings: Mapping[str, Any], where: str, aliases: Mapping[str, str]) -> Fallbacks:
    """A model asked by an alias has the fallbacks of what the alias stands for. Raises ConfigError."""
    named = {
        key: _read_named(settings.get(key), f"{where}.{key}")
        for key in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
    }
    for lists in named.values():
        lists.update({alias: lists[model] for alias, model in aliases.items() if model in lists and alias not in lists})
    default = _read_models(settings.get("default_fallbacks") or [], f"{where}.default_fallbacks")
    return Fallbacks(
        others=named["fallbacks"],
        default=default or named["fallbacks"].get("*", ()),
        context_window=named["context_window_fallbacks"],
        content_policy=named["content_policy_fallbacks"],
        most=read_whole(settings, "max_fallbacks", where),
    )


def check_fallbacks(fallbacks: Fallbacks, known: Collection[str], wild: tuple[str, ...], where: str) -> None:
    """Raises ConfigError where one names a model that nobody serves; `wild` are the beginnings of wildcards."""
    kinds = {
        "fallbacks": fallbacks.others,
        "context_window_fallbacks": fallbacks.context_window,
        "content_policy_fallbacks": fallbacks.content_policy,
        "default_fallbacks": {"*": fallbacks.default},
    }
    for key, named in kinds.items():
        for name, others in named.items():
            unknown = [one for one in (name, *others) if one not in known and one != "*" and not one.startswith(wild)]
            if unknown:
                raise ConfigError(f"{where}.{key}: {unknown[0]!r} is no model_name of model_list")


def read_retries(settings: Mapping[str, Any], where: str, own: Mapping[str, int]) -> dict[str, Retries]:
    """By model name, '' for those that are not named. `own` are what deployments say of their model."""
    default = read_whole(settings, "num_retries", where)
    general = _read_retries(settings, "retry_policy", DEFAULT_RETRIES if default is None else default, where)
    policies = read_mapping(settings, "model_group_retry_policy", where)
    at = f"{where}.model_group_retry_policy"
    return (
        {"": general}
        | {name: Retries(count, general.by_class) for name, count in own.items()}
        | {name: _read_retries(policies, name, own.get(name, general.default), at) for name in policies}
    )


def read_cooling(settings: Mapping[str, Any], where: str) -> Cooling:
    seconds = settings.get("cooldown_time")
    return Cooling(
        enabled=not read_flag(settings, "disable_cooldowns", where),
        allowed_fails=read_whole(settings, "allowed_fails", where),
        allowed_by_class=_read_policy(settings, "allowed_fails_policy", "AllowedFails", where),
        seconds=None if seconds is None else read_number(settings, "cooldown_time", 0, where),
    )


def _read_retries(section: Mapping[str, Any], key: str, default: int, where: str) -> Retries:
    by_class = _read_policy(section, key, "Retries", where)
    return Retries(by_class.pop("", default), by_class)


def _read_policy(section: Mapping[str, Any], key: str, ending: str, where: str) -> dict[str, int]:
    """`{RateLimitErrorRetries: 3}` by class; what holds for all others under ''."""
    policy = read_mapping(section, key, where)
    known = {name + ending: kind for name, kind in CLASSES.items()} | {"Default" + ending: ""}
    unknown = [name for name in policy if name not in known]
    if unknown:
        raise ConfigError(f"{where}.{key}.{unknown[0]}: not known; allowed are {', '.join(known)}")
    counts = {known[name]: read_whole(policy, name, f"{where}.{key}") for name in policy}
    return {kind: count for kind, count in counts.items() if count is not None}


def _read_named(listed: Any, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(listed or [], list) or not all(isinstance(item, dict) for item in listed or ()):
        raise ConfigError(f'{where}: write a list such as [{{"a": ["b"]}}]')
    return {name: _read_models(others, where) for item in listed or () for name, others in item.items()}


def _read_models(listed: Any, where: str) -> tuple[str, ...]:
    """LiteLLM also takes `{model: name}` with parameters of the fallback's own; only the name counts here."""
    given = listed if isinstance(listed, list) else [None]
    names = [item.get("model") if isinstance(item, dict) else item for item in given]
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(f'{where}: write a list such as [{{"a": ["b"]}}]')
    return tuple(str(name) for name in names)
