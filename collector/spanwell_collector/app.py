"""The collector's HTTP front: OTLP by the short way, everything else through FastAPI."""

from typing import Final

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from spanwell.settings import Settings
from spanwell_collector import telemetry
from spanwell_collector.access import OPEN_PATHS, is_allowed
from spanwell_collector.api.answers import HANDLERS, answer_error, answer_json
from spanwell_collector.api.routes import build_routes
from spanwell_collector.ingest.journal import Journal
from spanwell_collector.receivers.http import HttpReceiver, encoding_of
from spanwell_collector.receivers.refusals import PERMISSION_DENIED, UNAUTHENTICATED, RefusedError, respond
from spanwell_collector.receivers.signals import BY_PATH
from spanwell_collector.store.client import Store

HOW_TO_ENTER: Final = "send Authorization: Bearer with the token of SPANWELL_API_TOKEN"


def build_app(settings: Settings, store: Store, journal: Journal) -> ASGIApp:
    """One ASGI application for the collector's port."""
    receiver = HttpReceiver(journal)
    api = _build_api(settings, store, journal)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        headers = Headers(scope=scope)
        if path not in OPEN_PATHS and not is_allowed(headers, "", settings.api_token):
            await _forbid(path, headers, settings.api_token)(scope, receive, send)
        elif path in BY_PATH:
            await receiver(scope, receive, send)
        else:
            await api(scope, receive, send)

    return application


def _forbid(path: str, headers: Headers, token: str) -> Response:
    status, code, field = (401, UNAUTHENTICATED, "authorization") if token else (403, PERMISSION_DENIED, "host")
    message = HOW_TO_ENTER if token else "without SPANWELL_API_TOKEN only requests to a loopback name are answered"
    if path in BY_PATH:
        return respond(RefusedError(code, message), encoding_of(headers))
    return answer_error(status, message, field=field)


def _build_api(settings: Settings, store: Store, journal: Journal) -> FastAPI:
    api = FastAPI(title="Spanwell collector", docs_url=None, redoc_url=None, exception_handlers=dict(HANDLERS))
    api.include_router(build_routes(store, settings.project))

    @api.get("/health")
    def get_health() -> Response:
        """Answers while the process serves; says which engine and how much waits for it."""
        return answer_json({"status": "ok", "engine": store.version, "spool_bytes": journal.size_bytes})

    @api.get("/metrics")
    def get_metrics() -> Response:
        """The collector's own numbers for Prometheus."""
        telemetry.SPOOL_BYTES.set(journal.size_bytes)
        return PlainTextResponse(generate_latest(telemetry.REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return api
