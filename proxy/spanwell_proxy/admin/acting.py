"""Who acts on the administration API: the master key, or a user whose role allows something."""

from typing import Annotated

from fastapi import Depends, Request

from spanwell_proxy.access.directory import Directory
from spanwell_proxy.access.keys import read_secret
from spanwell_proxy.caller import Caller
from spanwell_proxy.failures import ApiError
from spanwell_proxy.limits.limiter import Limiter

NEEDS_MASTER_KEY = ApiError(
    403, "master_key_required", "this needs general_settings.master_key, or the key of a user with a role"
)


async def read_actor(request: Request) -> Caller:
    """Raises ApiError 401 or 403. Without a master key configured there is no administration by HTTP."""
    gateway, headers = request.app.state.gateway, dict(request.scope["headers"])
    if not read_secret(headers):
        raise NEEDS_MASTER_KEY
    actor: Caller = await gateway.keys.find(headers, gateway.limits.engine.now())
    if not (gateway.keys.is_operator(headers) if actor.operator else actor.role):
        raise NEEDS_MASTER_KEY
    return actor


async def require_admin(request: Request) -> Caller:
    """Raises ApiError 401 or 403."""
    actor = await read_actor(request)
    if not actor.operator and actor.role != "admin":
        raise NEEDS_MASTER_KEY
    return actor


def require_operator(request: Request) -> None:
    """Raises ApiError 403 without the master key; without one configured there is no administration by HTTP."""
    if not request.app.state.gateway.keys.is_operator(dict(request.scope["headers"])):
        raise ApiError(403, "master_key_required", "this needs general_settings.master_key as the bearer token")


def get_directory(request: Request) -> Directory:
    directory: Directory = request.app.state.gateway.directory
    return directory


def get_limiter(request: Request) -> Limiter:
    limiter: Limiter = request.app.state.gateway.limits
    return limiter


Actor = Annotated[Caller, Depends(read_actor)]
Admin = Annotated[Caller, Depends(require_admin)]
Books = Annotated[Directory, Depends(get_directory)]
Limits = Annotated[Limiter, Depends(get_limiter)]
