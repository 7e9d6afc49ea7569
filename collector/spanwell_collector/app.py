"""The collector's HTTP front: OTLP by the short way, everything else through FastAPI."""

from functools import partial
from typing import Final, NamedTuple

from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from spanwell.settings import Settings
from spanwell_collector import telemetry
from spanwell_collector.access.gate import NOBODY, Gate
from spanwell_collector.access.registrar import Registrar
from spanwell_collector.access.rights import OPEN_PATHS, Refusal, need_of
from spanwell_collector.access.scope import confine, keep_within
from spanwell_collector.api.answers import HANDLERS, answer_error, answer_json
from spanwell_collector.api.backups import build_backup_routes
from spanwell_collector.api.bodies import bound_body
from spanwell_collector.api.dead_letters import build_dead_letter_routes
from spanwell_collector.api.ledger import build_ledger_routes
from spanwell_collector.api.prices import build_price_routes
from spanwell_collector.api.retention import build_retention_routes
from spanwell_collector.api.routes import build_routes
from spanwell_collector.api.tokens import build_token_routes
from spanwell_collector.api.users import build_user_routes
from spanwell_collector.ingest.journal import Journal
from spanwell_collector.ingest.sink import Sink
from spanwell_collector.lifecycle.forget import list_spools
from spanwell_collector.receivers.browsers import allow_page, answer_preflight, is_preflight
from spanwell_collector.receivers.http import HttpReceiver, encoding_of
from spanwell_collector.receivers.intake import Room
from spanwell_collector.receivers.refusals import PERMISSION_DENIED, UNAUTHENTICATED, RefusedError, respond
from spanwell_collector.receivers.signals import BY_PATH
from spanwell_collector.store.client import Store

RPC_CODES: Final = {401: UNAUTHENTICATED, 403: PERMISSION_DENIED}


class Parts(NamedTuple):
    """What the front stands on."""

    store: Store
    journal: Journal
    sink: Sink
    room: Room
    gate: Gate
    registrar: Registrar


def build_app(settings: Settings, parts: Parts) -> ASGIApp:
    """One ASGI application for the collector's port."""
    store, gate, registrar = parts.store, parts.gate, parts.registrar
    receiver = HttpReceiver(parts.journal, parts.room)
    api = _build_api(settings, store, parts.journal)
    api.include_router(build_dead_letter_routes(store, parts.sink))
    api.include_router(build_token_routes(store, registrar, has_root=gate.has_root))
    api.include_router(build_retention_routes(settings, store, registrar))
    api.include_router(build_price_routes(settings, store, registrar))
    api.include_router(build_backup_routes(settings, store, registrar))
    api.include_router(build_user_routes(store, registrar, partial(list_spools, settings.data)))

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        headers = Headers(scope=scope)
        if path in BY_PATH and is_preflight(scope["method"], headers):
            await answer_preflight(headers)(scope, receive, send)
            return
        admitted = NOBODY if path in OPEN_PATHS else gate.admit(headers, need_of(scope["method"], path))
        confined = admitted if isinstance(admitted, Refusal) else confine(scope, admitted)
        if isinstance(confined, Refusal):
            await _forbid(path, headers, confined)(scope, receive, send)
        elif path in BY_PATH:
            await receiver(confined, receive, send)
        else:
            await api(confined, bound_body(receive), send)

    return application


def _forbid(path: str, headers: Headers, refusal: Refusal) -> Response:
    if path in BY_PATH:
        response = respond(RefusedError(RPC_CODES[refusal.status], refusal.message), encoding_of(headers))
        response.headers.update(allow_page(headers))
        return response
    return answer_error(refusal.status, refusal.message, field=refusal.field)


def _build_api(settings: Settings, store: Store, journal: Journal) -> FastAPI:
    api = FastAPI(
        title="Spanwell collector",
        docs_url=None,
        redoc_url=None,
        exception_handlers=dict(HANDLERS),
        dependencies=[Depends(keep_within)],
    )
    api.include_router(build_routes(store, settings.project))
    api.include_router(build_ledger_routes(store, settings.project))

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
