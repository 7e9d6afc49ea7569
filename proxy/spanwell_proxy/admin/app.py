"""Health, metrics and the keys: the part of the proxy that is not in a hurry, as a FastAPI application."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from sqlite3 import Connection
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from spanwell_proxy.access.keys import NewKey, block_key, create_key, delete_key, list_keys
from spanwell_proxy.caller import Budget
from spanwell_proxy.failures import ApiError, error_body
from spanwell_proxy.state import open_state
from spanwell_proxy.telemetry import metrics

PUSD = 10**12  # picodollars in a dollar
Name = Annotated[str, Field(max_length=256)]


class BudgetIn(BaseModel):
    """At most `usd` US dollars in each `period`."""

    model_config = ConfigDict(extra="forbid")

    usd: Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=12)]
    period: Literal["hour", "day", "month", "total"]


class KeyIn(BaseModel):
    """A key to make. `key` imports one that exists elsewhere."""

    model_config = ConfigDict(extra="forbid")

    name: Name = ""
    team: Name = ""
    user: Name = ""
    models: Annotated[list[Name], Field(max_length=1000)] = []
    budgets: Annotated[list[BudgetIn], Field(max_length=4)] = []
    expires_at: AwareDatetime | None = None
    metadata: dict[str, Any] = {}
    key: Annotated[str, Field(min_length=8, max_length=256, pattern=r"^[\x21-\x7e]+$")] | None = None


def create_admin(state: Path, lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]]) -> FastAPI:
    """The application; `state` is the SQLite file, `lifespan` sets `app.state.gateway`."""
    app = FastAPI(title="Spanwell proxy", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.path = state
    app.include_router(public)
    app.include_router(keys)
    app.add_exception_handler(ApiError, _show_error)
    app.add_exception_handler(HTTPException, _show_http_error)
    app.add_exception_handler(RequestValidationError, _show_invalid)
    return app


def require_operator(request: Request) -> None:
    """Raises ApiError 403 without the master key; without one configured there is no administration by HTTP."""
    if not request.app.state.gateway.keys.is_operator(dict(request.scope["headers"])):
        raise ApiError(403, "master_key_required", "this needs general_settings.master_key as the bearer token")


def open_connection(request: Request) -> Iterator[Connection]:
    with closing(open_state(request.app.state.path)) as state:
        yield state


State = Annotated[Connection, Depends(open_connection)]
public = APIRouter()
keys = APIRouter(prefix="/admin/keys", dependencies=[Depends(require_operator)])


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


@keys.post("", status_code=201)
def make_key(wanted: KeyIn, state: State) -> dict[str, str]:
    """The answer holds the key itself: it is shown this once."""
    new = NewKey(
        name=wanted.name,
        team=wanted.team,
        user=wanted.user,
        models=tuple(wanted.models),
        budgets=tuple(Budget(budget.period, int(budget.usd * PUSD)) for budget in wanted.budgets),
        expires_at=wanted.expires_at.timestamp() if wanted.expires_at else None,
        metadata=wanted.metadata,
        secret=wanted.key or "",
    )
    key_id, secret = create_key(state, new)
    return {"id": key_id, "key": secret}


@keys.get("")
def read_keys(state: State) -> dict[str, Any]:
    return {"keys": [_show_key(key) for key in list_keys(state)]}


@keys.post("/{key_id}/block")
def refuse_key(key_id: str, state: State) -> dict[str, Any]:
    return _done(block_key(state, key_id), key_id, "blocked")


@keys.delete("/{key_id}")
def remove_key(key_id: str, state: State) -> dict[str, Any]:
    return _done(delete_key(state, key_id), key_id, "deleted")


def _done(found: bool, key_id: str, what: str) -> dict[str, Any]:
    if not found:
        raise ApiError(404, "key_not_found", f"there is no key {key_id!r}")
    return {"id": key_id, what: True}


def _show_key(key: dict[str, Any]) -> dict[str, Any]:
    budgets = [{"usd": budget["limit_pusd"] / PUSD, "period": budget["period"]} for budget in key["budgets"]]
    times = {
        name: datetime.fromtimestamp(key[name], UTC).isoformat() if key[name] is not None else None
        for name in ("created_at", "expires_at")
    }
    return key | times | {"budgets": budgets}


def _show_error(_: Request, error: Exception) -> JSONResponse:
    status, kind = (error.status, error.kind) if isinstance(error, ApiError) else (500, "internal_error")
    return JSONResponse(error_body(status, kind, str(error)), status)


def _show_http_error(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    told = f"there is no {request.method} {request.url.path} here"
    return JSONResponse(error_body(status, "not_found" if status == 404 else "http_error", told), status)


def _show_invalid(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    place = ".".join(str(part) for part in first.get("loc", ()))
    return JSONResponse(error_body(422, "invalid_request", str(first.get("msg", "")), place), 422)
