"""The configuration in force in one worker: what calls begin with, and how another one takes its place.

A gateway is a value. Calls keep the one they began with; what lives longer than a configuration (connections, keys,
spans, what is known of deployments) is shared by all of them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from spanwell.errors import ConfigError
from spanwell_proxy.config.routes import Routes
from spanwell_proxy.gateway import Gateway, group_deployments
from spanwell_proxy.plan import Plan, with_found
from spanwell_proxy.routing.facts import Facts

logger = logging.getLogger(__name__)

# What hangs on these is opened at a start: another word on it counts from the next one.
AT_START: Final = ("cache", "batches")
SETTINGS_AT_START: Final = {"capture_content": "litellm_settings.turn_off_message_logging", "redis_url": "Redis"}


class Current:
    """`error` says why the latest configuration does not count; empty while it does."""

    def __init__(self, plan: Plan, gateway: Gateway, announce: Callable[[Gateway], None]) -> None:
        """`announce` is told of each gateway that takes another one's place."""
        self._announce = announce
        self.plan = plan
        self.gateway = gateway
        self.error = ""
        self._opened_with = plan
        self.loaded_at = datetime.now(UTC)

    @property
    def needs_restart(self) -> tuple[str, ...]:
        """What the file says otherwise than it did when this worker was started."""
        now, opened = self.plan, self._opened_with
        sections = [name for name in AT_START if getattr(now.config, name) != getattr(opened.config, name)]
        settings = SETTINGS_AT_START.items()
        said = [said for name, said in settings if getattr(now.settings, name) != getattr(opened.settings, name)]
        return (*sections, *said)

    def describe(self) -> dict[str, Any]:
        """For /health: which configuration this worker serves with, and why not the latest."""
        return {
            "loaded_at": self.loaded_at.isoformat(),
            "error": self.error,
            "needs_restart": list(self.needs_restart),
        }

    def use(self, plan: Plan, found: Sequence[Mapping[str, Any]]) -> None:
        """New calls begin with this plan, and with what backends serve. Raises ConfigError, and changes nothing."""
        whole = with_found(plan, found)
        self.gateway.keys.set_master_key(whole.routes.master_key)
        self.gateway.keys.set_groups(whole.routes.access_groups)
        self.gateway.limits.use(whole.limits)
        self.gateway.trials.experiments = whole.routing.experiments
        self.gateway = replace(
            self.gateway,
            routes=whole.routes,
            find_group=group_deployments(whole.routes, self.gateway.facts, whole.routing.unions),
            find_policy=whole.routing.find_policy,
            guards=whole.guards,
            traffic=self.gateway.traffic.follow(whole.resilience),
            unions=whole.routing.unions,
        )
        self.plan = whole
        forget_facts(self.gateway.facts, whole.routes)
        self._announce(self.gateway)

    def use_found(self, found: Sequence[Mapping[str, Any]]) -> None:
        """Backends serve something else than before."""
        try:
            self.use(self.plan, found)
        except ConfigError as error:
            logger.error("what the backends serve does not fit the configuration: %s", error)


def forget_facts(facts: dict[str, Facts], routes: Routes) -> None:
    """Of deployments that are gone, once nothing runs there: a name that comes back begins anew."""
    known = {one.id for group in routes.deployments.values() for one in group}
    wild = {one.id for name in routes.wildcards for one in routes.expand(name.replace("*", "x"))}
    for name in facts.keys() - known - wild:
        if not facts[name].in_flight:
            del facts[name]
