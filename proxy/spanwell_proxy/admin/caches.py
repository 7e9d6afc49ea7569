"""The caches while the gateway runs: what they hold, how often they were wrong, and how to empty them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from spanwell_proxy.admin.acting import require_operator
from spanwell_proxy.caches.exact import Cache
from spanwell_proxy.failures import ApiError, bad_request

router = APIRouter(prefix="/admin/cache", dependencies=[Depends(require_operator)])
Name = Annotated[str, Field(max_length=256)]


class PurgeIn(BaseModel):
    """What to forget: the answers to a model name, those of a key's calls, or all of them. One of the three."""

    model_config = ConfigDict(extra="forbid")

    model: Name = ""
    key: Name = ""
    all: bool = False


class ResetIn(BaseModel):
    """Whose semantic hits are to be trusted again."""

    model_config = ConfigDict(extra="forbid")

    model: Name


def find_cache(request: Request) -> Cache:
    cache: Cache | None = request.app.state.gateway.cache
    if cache is None:
        raise ApiError(404, "no_cache", "the cache is off: write a section `cache`")
    return cache


Found = Annotated[Cache, Depends(find_cache)]


@router.get("")
async def read_cache(cache: Found) -> dict[str, Any]:
    """What all workers keep, and what this one holds in memory."""
    shelf = cache.shelf
    told: dict[str, Any] = {
        "answers": await shelf.store.count(),
        "in_memory": shelf.held,
        "dropped": shelf.dropped,
        "ttl_seconds": cache.settings.ttl_s,
        "scope": cache.settings.scope,
    }
    return told | {"semantic": cache.meanings.describe() if cache.meanings else None}


@router.post("/purge")
async def purge(wanted: PurgeIn, cache: Found) -> dict[str, Any]:
    """From now on no answer counts that was asked for before; in other workers within a second."""
    named = [f"{name}:{value}" for name, value in (("model", wanted.model), ("key", wanted.key)) if value]
    named += ["all"] if wanted.all else []
    if len(named) != 1:
        raise bad_request("write one of model, key and all", "model")
    if not await cache.shelf.purge(named[0]):
        raise ApiError(503, "state_unavailable", "nothing was purged: the cache cannot be written now; try again")
    return {"purged": named[0]}


@router.post("/reset")
async def reset(wanted: ResetIn, cache: Found) -> dict[str, Any]:
    """Switch a model's semantic hits on again, after what was wrong has been put right."""
    if cache.meanings is None:
        raise ApiError(404, "no_cache", "the semantic cache is off: write a section `cache.semantic`")
    if not await cache.meanings.forget_verdicts(wanted.model):
        raise ApiError(503, "state_unavailable", "nothing was reset: the verdicts cannot be written now; try again")
    return {"reset": wanted.model}
