"""All a worker needs to know: settings and configuration, read and checked in one place."""

from dataclasses import dataclass

from spanwell.config import load_config
from spanwell.errors import ConfigError
from spanwell.loopback import is_loopback
from spanwell.pricing import load_price_table
from spanwell.settings import Settings
from spanwell_proxy.caches.exact import CacheSettings, read_cache_settings
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.config.routes import Routes


@dataclass(frozen=True)
class Plan:
    """`cache` is None where it is off."""

    settings: Settings
    routes: Routes
    cache: CacheSettings | None


def read_plan(settings: Settings) -> Plan:
    """Raises ConfigError; a proxy that others can reach must ask for a key."""
    config = load_config(settings.config)
    routes = read_routes(config, load_price_table())
    if not is_loopback(settings.host) and not routes.master_key:
        raise ConfigError(f"SPANWELL_HOST={settings.host} is reachable from outside: set general_settings.master_key")
    return Plan(settings, routes, read_cache_settings(config))
