"""Backends and the configuration while the gateway runs: see, add, drain, resume, remove, read again."""

import logging
from typing import Any

from fastapi import APIRouter, Body, Depends, Request

from spanwell.backends import read_backend
from spanwell.errors import ConfigError
from spanwell_proxy.admin.acting import require_operator
from spanwell_proxy.backends.watching import Watched, Watcher
from spanwell_proxy.failures import ApiError

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/admin", dependencies=[Depends(require_operator)])


async def find_watcher(request: Request) -> Watcher:
    """With all that was changed at other workers."""
    watcher: Watcher = request.app.state.operations.watcher
    await watcher.follow()
    return watcher


@router.post("/reload")
async def reload(request: Request) -> dict[str, Any]:
    """Read the configuration again, in this worker now and in the others within a second."""
    operations = request.app.state.operations
    try:
        await operations.reloader.reload_all()
    except ConfigError as error:
        raise ApiError(400, "configuration_refused", f"the one before stays in force: {error}") from error
    routes = operations.current.gateway.routes
    return {
        "loaded_at": operations.current.loaded_at.isoformat(),
        "models": sorted(routes.deployments),
        "ignored": {one.key: one.reason for one in routes.ignored},
        "needs_restart": list(operations.current.needs_restart),
    }


@router.get("/backends")
async def list_backends(request: Request) -> dict[str, Any]:
    watcher = await find_watcher(request)
    running = await watcher.count_running()
    return {"backends": [_show(one, running.get(name, 0)) for name, one in sorted(watcher.watched.items())]}


@router.post("/backends", status_code=201)
async def add_backend(request: Request, document: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008
    """Takes what an entry of the section `backends` takes. Calls go there as soon as it answers."""
    watcher = await find_watcher(request)
    try:
        backend = read_backend(document, "backend")
    except ConfigError as error:
        raise ApiError(400, "invalid_request", str(error)) from error
    if backend.name in watcher.watched or not await watcher.store.add(backend.name, document):
        raise ApiError(409, "backend_exists", f"there is a backend {backend.name!r}; drain and remove it first")
    logger.info("backend %s was added", backend.name)
    await watcher.follow()
    return _show(await watcher.look(_find(watcher, backend.name)), 0)


@router.post("/backends/{name}/drain")
async def drain_backend(name: str, request: Request) -> dict[str, Any]:
    """No new calls go there; those that run end as they would."""
    return await _set_drained(await find_watcher(request), name, drained=True)


@router.post("/backends/{name}/resume")
async def resume_backend(name: str, request: Request) -> dict[str, Any]:
    return await _set_drained(await find_watcher(request), name, drained=False)


@router.delete("/backends/{name}")
async def remove_backend(name: str, request: Request) -> dict[str, Any]:
    """Calls that run there end as they would."""
    watcher = await find_watcher(request)
    one = _find(watcher, name)
    if not one.by_hand or not await watcher.store.remove(name):
        raise ApiError(409, "backend_in_file", f"{name!r} stands in the configuration file: take it out there")
    logger.info("backend %s was removed", name)
    await watcher.follow()
    return {"name": name, "removed": True}


async def _set_drained(watcher: Watcher, name: str, *, drained: bool) -> dict[str, Any]:
    one = _find(watcher, name)
    await watcher.store.drain(name, drained=drained)
    logger.info("backend %s was %s", name, "drained" if drained else "resumed")
    await watcher.follow()
    return _show(one, (await watcher.count_running()).get(name, 0))


def _find(watcher: Watcher, name: str) -> Watched:
    if name not in watcher.watched:
        raise ApiError(404, "backend_not_found", f"there is no backend {name[:128]!r}")
    return watcher.watched[name]


def _show(one: Watched, running: int) -> dict[str, Any]:
    """`running` are the gateway's own calls; `load` is what the backend says, of all who ask it."""
    backend = one.backend
    models = [model.name for model in one.served] if backend.models is None else list(backend.models)
    return {
        "name": backend.name,
        "url": backend.origin,
        "models": models,
        "status": one.status,
        "drained": one.is_drained,
        "error": one.error,
        "running": running,
        "load": one.load._asdict() if one.load else None,
        "weight": backend.weight,
        "usd_per_gpu_hour": backend.usd_per_gpu_hour,
        "gpus": backend.gpus,
        "origin": "added" if one.by_hand else "file",
    }
