"""The routes of what the worker found out: drift checks and alert events."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from spanwell_collector.api.answers import answer_json, answer_rows
from spanwell_collector.api.bodies import AlertEventIn, DriftCheckIn
from spanwell_collector.api.leaving import leavable
from spanwell_collector.api.params import ListQuestion
from spanwell_collector.queries import findings
from spanwell_collector.store.client import Store


def build_finding_routes(store: Store, project: str) -> APIRouter:
    routes = APIRouter(tags=["findings"], route_class=leavable(store))

    @routes.post("/drift", status_code=201)
    def post_drift(posted: DriftCheckIn) -> Response:
        """Store a drift check; the same (segment, ts) replaces it."""
        row = findings.DriftCheck(**{**posted.model_dump(), "project": posted.project or project})
        findings.store_finding(store, row)
        return answer_json({"stored": 1}, 201)

    @routes.get("/drift")
    def list_drift(request: Request, asked: Annotated[ListQuestion, Query()]) -> Response:
        """Drift checks, newest first."""
        selection = asked.select(project, datetime.now(UTC))
        rows = findings.list_findings(store, findings.DriftCheck, selection, limit=asked.limit)
        return answer_rows(request, rows)

    @routes.post("/alerts/events", status_code=201)
    def post_alert_event(posted: AlertEventIn) -> Response:
        """Store an alert's firing or recovery."""
        row = findings.AlertEvent(**{**posted.model_dump(), "project": posted.project or project})
        findings.store_finding(store, row)
        return answer_json({"stored": 1}, 201)

    @routes.get("/alerts/events")
    def list_alert_events(request: Request, asked: Annotated[ListQuestion, Query()]) -> Response:
        """Alert events, newest first."""
        selection = asked.select(project, datetime.now(UTC))
        rows = findings.list_findings(store, findings.AlertEvent, selection, limit=asked.limit)
        return answer_rows(request, rows)

    return routes
