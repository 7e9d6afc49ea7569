"""Health, metrics and administration: the part of the proxy that is not in a hurry, as a FastAPI application."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from spanwell_proxy.access.records import RecordsAwayError
from spanwell_proxy.admin.accounts import ROUTERS
from spanwell_proxy.admin.acting import require_operator as require_operator
from spanwell_proxy.backends.store import StoreAwayError as BackendsAwayError
from spanwell_proxy.failures import ApiError, error_body
from spanwell_proxy.limits.store import StoreAwayError
from spanwell_proxy.telemetry import metrics


def create_admin(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]]) -> FastAPI:
    """The application; `lifespan` sets `app.state.gateway`."""
    app = FastAPI(title="Spanwell proxy", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(public)
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(ApiError, _show_error)
    app.add_exception_handler(RecordsAwayError, _show_away)
    app.add_exception_handler(StoreAwayError, _show_away)
    app.add_exception_handler(BackendsAwayError, _show_away)
    app.add_exception_handler(HTTPException, _show_http_error)
    app.add_exception_handler(RequestValidationError, _show_invalid)
    return app


public = APIRouter()


@public.get("/health")
async def read_health(request: Request) -> dict[str, Any]:
    """Whether this worker serves, and what waits in it."""
    gateway, operations = request.app.state.gateway, request.app.state.operations
    return {
        "status": "ok",
        "configuration": operations.current.describe(),
        "backends": operations.watcher.describe(),
        "models": sorted(gateway.routes.deployments),
        "in_flight": len(gateway.in_flight),
        "dropped_spans": gateway.telemetry.dropped,
    }


@public.get("/metrics")
def read_metrics() -> Response:
    return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _show_error(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ApiError):
        return JSONResponse(error_body(error.status, error.kind, error.message, error.param), error.status)
    return JSONResponse(error_body(500, "internal_error", str(error)), 500)


def _show_away(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(error_body(503, "state_unavailable", f"{error}; try again"), 503)


def _show_http_error(request: Request, error: Exception) -> JSONResponse:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    told = f"there is no {request.method} {request.url.path} here" if status in (404, 405) else detail
    return JSONResponse(error_body(status, "not_found" if status == 404 else "http_error", told), status)


def _show_invalid(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    place = ".".join(str(part) for part in first.get("loc", ()))
    return JSONResponse(error_body(422, "invalid_request", str(first.get("msg", "")), place), 422)
