"""Reads `resilience`: how long to wait for backends, how many calls at a time, and what to do when they are slow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell_proxy.config.fields import read_flag, read_mapping, read_number, read_whole
from spanwell_proxy.config.routes import Deployment, Routes
from spanwell_proxy.routing.breaker import RULES, Rules
from spanwell_proxy.upstream.wire import CONNECT_TIMEOUT_S

SHORTEST_DEADLINE_S: Final = 600.0
QUANTILE: Final = re.compile(r"p([1-9][0-9]?)")
BREAKER_KEYS: Final = (
    *("failures", "failure_rate", "min_attempts", "window_seconds"),
    *("cool_seconds", "longest_cool_seconds", "probes"),
)


class Knobs(NamedTuple):
    """What holds for one deployment of one model name. Seconds; None is what the deployment says, or no bound."""

    connect_s: float = CONNECT_TIMEOUT_S
    first_byte_s: float | None = None  # of a stream
    first_content_s: float | None = None  # of a stream
    chunk_s: float = 120.0  # between two pieces of a stream
    deadline_s: float | None = None  # of a call with all its attempts
    hold_s: float = 10.0  # how long what says nothing yet is held back from the client
    concurrency: int | None = None
    max_waiting: int = 100
    max_wait_s: float = 30.0
    hedge_s: float | None = None
    hedge_quantile: float | None = None  # of the answers of late: 0.95
    continuation: bool = False
    breaker: Rules = RULES


KNOBS: Final = Knobs()
KEYS: Final = {
    "connect_seconds": "connect_s",
    "first_byte_seconds": "first_byte_s",
    "first_content_seconds": "first_content_s",
    "chunk_seconds": "chunk_s",
    "deadline_seconds": "deadline_s",
    "hold_seconds": "hold_s",
    "max_wait_seconds": "max_wait_s",
}
OTHER_KEYS: Final = ("concurrency", "max_waiting", "hedge_after", "continuation")
OF_CALLS: Final = frozenset(("deadline_seconds", "max_wait_seconds", "max_waiting", "hedge_after"))


@dataclass(frozen=True)
class Resilience:
    """`own` is what holds for all; a model's words go before it, and a deployment's before both."""

    own: Knobs = KNOBS
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    deployments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    workers: int = 1

    def find(self, model: str, deployment: Deployment) -> Knobs:
        """For one attempt. `concurrency` is that of the deployment."""
        said = dict(self.models.get(model) or self.models.get(deployment.route) or {})
        said["concurrency"] = share_out(deployment.capacity.parallel, self.workers)
        if deployment.cooldown_s is not None:
            said["breaker"] = self.own.breaker._replace(cool_s=deployment.cooldown_s)
        said.update(self.deployments.get(deployment.id, {}))
        return self.own._replace(**said)

    def find_model(self, model: str, wildcard: str = "") -> Knobs:
        """For a model name, or the wildcard that caught it: `concurrency` is that of all its deployments together."""
        said = self.models.get(model) or self.models.get(wildcard)
        return self.own._replace(**said) if said else self.own


def read_resilience(config: Config, routes: Routes, workers: int = 1) -> Resilience:
    """Raises ConfigError naming the key and what is allowed. What is said of calls at a time is for all `workers`."""
    section, where = config.resilience, f"{config.source}: resilience"
    allowed = (*KEYS, *OTHER_KEYS, "breaker", "models", "deployments")
    _refuse_unknown(section, tuple(key for key in allowed if key != "concurrency"), where)
    rules = _read_breaker(read_mapping(section, "breaker", where), f"{where}.breaker", routes)
    resilience = Resilience(
        own=KNOBS._replace(breaker=rules, **_read_knobs(section, where, workers)),
        models=_read_named(section, "models", where, workers),
        deployments=_read_named(section, "deployments", where, workers, of_calls=False),
        workers=workers,
    )
    if not config.backends:  # what those serve shows only once they are asked
        _check_names(resilience, config, routes, where)
    return resilience


def _check_names(resilience: Resilience, config: Config, routes: Routes, where: str) -> None:
    known = {*routes.deployments, *routes.wildcards, *routes.aliases, *(config.routing.get("routes") or {})}
    for name in resilience.models:
        if name not in known and not routes.expand(name):
            raise ConfigError(f"{where}.models.{name}: is no model_name of model_list")
    ids = {one.id for group in routes.deployments.values() for one in group}
    for name in resilience.deployments if not routes.wildcards else ():  # what those make has ids of its own
        if name not in ids:
            raise ConfigError(
                f"{where}.deployments.{name}: is no id of a deployment; there are {', '.join(sorted(ids))}"
            )


def share_out(limit: int | None, workers: int) -> int | None:
    """What one of `workers` may do at a time, so that all together stay within; at least one each."""
    return None if limit is None else max(1, limit // workers)


def _read_named(
    section: Mapping[str, Any], key: str, where: str, workers: int, *, of_calls: bool = True
) -> Mapping[str, Mapping[str, Any]]:
    """What is about a call, whichever deployment answers it, is nothing that one of them could say."""
    allowed = tuple(one for one in (*KEYS, *OTHER_KEYS) if of_calls or one not in OF_CALLS)
    named = read_mapping(section, key, where)
    found: dict[str, Mapping[str, Any]] = {}
    for name in named:
        at = f"{where}.{key}.{name}"
        said = read_mapping(named, name, f"{where}.{key}")
        _refuse_unknown(said, allowed, at)
        found[str(name)] = _read_knobs(said, at, workers)
    return found


def _read_knobs(said: Mapping[str, Any], where: str, workers: int) -> dict[str, Any]:
    """Only what is said, by the names of Knobs."""
    knobs: dict[str, Any] = {name: _positive(said, key, where) for key, name in KEYS.items() if key in said}
    if "concurrency" in said:
        limit = read_whole(said, "concurrency", where)
        knobs["concurrency"] = share_out(limit, workers)
    if "max_waiting" in said:
        knobs["max_waiting"] = read_whole(said, "max_waiting", where) or 0
    if "continuation" in said:
        knobs["continuation"] = read_flag(said, "continuation", where)
    if "hedge_after" in said:
        knobs |= _read_hedge(said["hedge_after"], where)
    return knobs


def _read_hedge(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {"hedge_s": None, "hedge_quantile": None}
    if isinstance(value, str) and (found := QUANTILE.fullmatch(value)):
        return {"hedge_s": None, "hedge_quantile": int(found[1]) / 100}
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 3600:
        raise ConfigError(f"{where}.hedge_after: write seconds, or a quantile of the answers of late such as p95")
    return {"hedge_s": float(value), "hedge_quantile": None}


def _positive(section: Mapping[str, Any], key: str, where: str) -> float:
    seconds = read_number(section, key, 0, where)
    if not seconds:
        raise ConfigError(f"{where}.{key}: write seconds, more than 0")
    return seconds


def _read_breaker(section: Mapping[str, Any], where: str, routes: Routes) -> Rules:
    """What `router_settings` say of cooling holds where this section says nothing."""
    _refuse_unknown(section, BREAKER_KEYS, where)
    cooling = routes.cooling
    if not cooling.enabled and not section:
        return RULES._replace(failures=0, failure_rate=2.0)
    failures = read_whole(section, "failures", where)
    if failures is None:
        failures = RULES.failures if cooling.allowed_fails is None else cooling.allowed_fails + 1
    cool_s = read_number(section, "cool_seconds", RULES.cool_s if cooling.seconds is None else cooling.seconds, where)
    longest_s = read_number(section, "longest_cool_seconds", RULES.longest_cool_s, where)
    return Rules(
        failures=failures,
        failure_rate=read_number(section, "failure_rate", RULES.failure_rate, where),
        min_attempts=read_whole(section, "min_attempts", where) or RULES.min_attempts,
        window_s=read_number(section, "window_seconds", RULES.window_s, where) or RULES.window_s,
        cool_s=cool_s,
        longest_cool_s=max(cool_s, longest_s),
        probes=read_whole(section, "probes", where) or RULES.probes,
    )


def _refuse_unknown(section: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    unknown = [key for key in section if key not in allowed]
    if unknown:
        raise ConfigError(f"{where}.{unknown[0]}: unknown key; allowed are {', '.join(allowed)}")
