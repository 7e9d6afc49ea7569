"""How long data is kept: what is in force, and putting the configuration file in force."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from spanwell.config import load_config
from spanwell.errors import ConfigError
from spanwell.settings import Settings
from spanwell_collector.access.registrar import Registrar
from spanwell_collector.access.scope import identity_of
from spanwell_collector.api.answers import answer_error, answer_json
from spanwell_collector.lifecycle.retention import apply_rules, make_rules, read_retention, read_rules
from spanwell_collector.store.client import Store


def build_retention_routes(settings: Settings, store: Store, registrar: Registrar) -> APIRouter:
    """GET what is in force, POST to read the file again."""
    routes = APIRouter(prefix="/api/v1/retention", tags=["retention"])

    @routes.get("")
    def get_retention() -> Response:
        """The TTL of every table, and since when."""
        return answer_json({"rows": read_rules(store)})

    @routes.post("")
    def apply_retention(request: Request) -> Response:
        """Read the section `retention` again and put in force what differs; old rows go in the background."""
        try:
            retention = read_retention(load_config(settings.config).retention)
        except ConfigError as error:
            return answer_error(400, str(error), field="retention")
        changed = apply_rules(store, make_rules(retention))
        for rule in changed:
            registrar.note(identity_of(request.scope), "retention", rule.table, rule.ttl)
        return answer_json({"changed": [{"table_name": rule.table, "rule": rule.ttl} for rule in changed]})

    return routes
