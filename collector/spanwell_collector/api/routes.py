"""The query API under /api/v1, put together of its parts."""

from fastapi import APIRouter

from spanwell_collector.api.exports import build_export_routes
from spanwell_collector.api.findings import build_finding_routes
from spanwell_collector.api.numbers import build_number_routes
from spanwell_collector.api.people import build_people_routes
from spanwell_collector.api.scores import build_score_routes
from spanwell_collector.api.traces import build_trace_routes
from spanwell_collector.store.client import Store


def build_routes(store: Store, project: str) -> APIRouter:
    """The query API over `store`; `project` is asked about when a request names none."""
    routes = APIRouter(prefix="/api/v1")
    for build in (
        build_number_routes,
        build_trace_routes,
        build_people_routes,
        build_score_routes,
        build_finding_routes,
        build_export_routes,
    ):
        routes.include_router(build(store, project))
    return routes
