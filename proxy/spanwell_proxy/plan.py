"""All a worker needs to know: settings and configuration, read and checked in one place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spanwell.backends import Backend, read_backends
from spanwell.config import Config, load_config
from spanwell.errors import ConfigError
from spanwell.loopback import is_loopback
from spanwell.pricing import PriceTable, load_price_table
from spanwell.settings import Settings
from spanwell_proxy.batches.settings import BatchSettings, read_batch_settings
from spanwell_proxy.caches.semantic.settings import SemanticSettings, read_semantic_settings
from spanwell_proxy.caches.settings import CacheSettings, read_cache_settings
from spanwell_proxy.config.adopting import adopt_sections, adopt_settings
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.config.routes import Routes
from spanwell_proxy.guards.judging import Guards
from spanwell_proxy.guards.settings import read_guards
from spanwell_proxy.limits.settings import LimitSettings, read_limit_settings
from spanwell_proxy.routing.settings import RoutingSettings, read_routing
from spanwell_proxy.sealing.project import find_key
from spanwell_proxy.upstream.settings import Resilience, read_resilience


@dataclass(frozen=True)
class Plan:
    """`cache` is None where it is off. `config` and `prices` are what `routes` were made of.

    `environment` is what `settings` were before the file had its word.
    """

    settings: Settings
    routes: Routes
    cache: CacheSettings | None
    semantic: SemanticSettings | None = None
    batches: BatchSettings | None = None
    guards: Guards | None = None
    limits: LimitSettings = field(default_factory=LimitSettings)
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    resilience: Resilience = field(default_factory=Resilience)
    backends: tuple[Backend, ...] = ()
    config: Config = field(default_factory=Config, repr=False)
    prices: PriceTable = field(default_factory=PriceTable, repr=False)
    environment: Settings = field(default_factory=Settings, repr=False)

    @property
    def files(self) -> tuple[Path, ...]:
        """What the configuration was read from."""
        return self.config.files


def read_plan(settings: Settings, prices: PriceTable | None = None) -> Plan:
    """Raises ConfigError; a proxy that others can reach must ask for a key. `prices` are those of an earlier plan."""
    config, differences = adopt_sections(load_config(settings.config))
    prices = prices or load_price_table()
    routes = read_routes(config, prices, workers=settings.proxy_workers)
    routes = replace(routes, ignored=(*routes.ignored, *differences))
    if not is_loopback(settings.host) and not routes.master_key:
        raise ConfigError(f"SPANWELL_HOST={settings.host} is reachable from outside: set general_settings.master_key")
    cache = read_cache_settings(config)
    semantic = read_semantic_settings(cache.semantic, config.source, set(routes.deployments)) if cache else None
    return Plan(
        settings=adopt_settings(settings, config),
        routes=routes,
        cache=cache,
        semantic=semantic,
        batches=read_batch_settings(config),
        guards=read_guards(config, lambda: find_key(settings).derive("guards")),
        limits=read_limit_settings(config),
        routing=read_routing(config, routes),
        resilience=read_resilience(config, routes, settings.proxy_workers),
        backends=read_backends(config),
        config=config,
        prices=prices,
        environment=settings,
    )


def with_found(plan: Plan, found: Sequence[Mapping[str, Any]]) -> Plan:
    """The plan with what backends serve: entries of `model_list`. Raises ConfigError where they do not fit."""
    routes = read_routes(plan.config, plan.prices, found, plan.settings.proxy_workers)
    routing = read_routing(plan.config, routes)
    return replace(plan, routes=replace(routes, ignored=plan.routes.ignored), routing=routing)
