"""The ledger's route."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from spanwell_collector.api.answers import answer_rows
from spanwell_collector.api.params import Window
from spanwell_collector.queries.ledger import get_ledger
from spanwell_collector.store.client import Store

A_DAY: Final = timedelta(days=1)


def build_ledger_routes(store: Store, project: str) -> APIRouter:
    """`project` is asked about when a request names none."""
    routes = APIRouter(prefix="/api/v1")

    @routes.get("/ledger")
    def read_ledger(request: Request, asked: Annotated[Window, Query()]) -> Response:
        """What each producer sent, beside what is stored; of the day before `end` when no `start` is given."""
        end = asked.end or datetime.now(UTC)
        return answer_rows(request, get_ledger(store, asked.project or project, asked.start or end - A_DAY, end))

    return routes
