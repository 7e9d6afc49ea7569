"""The routes of sessions and users."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from spanwell_collector.api.answers import answer_rows
from spanwell_collector.api.filters import describe_filters
from spanwell_collector.api.leaving import leavable
from spanwell_collector.api.params import PageQuestion, UsersQuestion
from spanwell_collector.queries import sessions, traces, users
from spanwell_collector.queries.selection import Filter
from spanwell_collector.registry import FIELDS
from spanwell_collector.store.client import Store


def build_people_routes(store: Store, project: str) -> APIRouter:
    routes = APIRouter(tags=["people"], route_class=leavable(store))

    @routes.get("/sessions", openapi_extra=describe_filters())
    def list_sessions(request: Request, asked: Annotated[PageQuestion, Query()]) -> Response:
        """Conversations by their last call, newest first; `next` is the cursor of the page that follows."""
        selection = asked.select(project, datetime.now(UTC))
        page = sessions.list_sessions(store, selection, cursor=asked.cursor, limit=asked.limit)
        return answer_rows(request, page.rows, next=page.next)

    @routes.get("/sessions/{session_id:path}", openapi_extra=describe_filters())
    def get_session(request: Request, session_id: str, asked: Annotated[PageQuestion, Query()]) -> Response:
        """The traces of one conversation within the window, newest first."""
        selection = asked.select(project, datetime.now(UTC), Filter(FIELDS["session_id"], "=", (session_id,)))
        only = traces.TraceFilter(cursor=asked.cursor)
        page = traces.list_traces(store, selection, only, limit=asked.limit)
        return answer_rows(request, page.rows, next=page.next)

    @routes.get("/users", openapi_extra=describe_filters())
    def list_users(request: Request, asked: Annotated[UsersQuestion, Query()]) -> Response:
        """What each user cost, the dearest first, and when they were last seen."""
        selection = asked.select(project, datetime.now(UTC))
        return answer_rows(request, users.list_users(store, selection, limit=asked.limit))

    return routes
