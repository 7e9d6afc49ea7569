"""Keeps a token of one project within it, whichever question it asks.

Each question takes its project as a parameter, so what holds here need not be remembered there: a question that takes
none is not for such a token.
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Scope

from spanwell_collector.access.rights import WRITE_PATHS, Identity, Refusal, keep_to

IDENTITY: Final = "spanwell.identity"  # where a request carries who sent it
SHARED: Final = frozenset({"/api/v1/catalog"})  # tells nothing of any project
OWN_CHECKS: Final = "/api/v1/tokens"  # its routes look at the token's project themselves
PROJECT: Final = "project"
NAMING: Final = frozenset({PROJECT, f"a.{PROJECT}", f"b.{PROJECT}"})  # the parameters that say whose data is meant


def identity_of(scope: Scope) -> Identity:
    found: Identity = scope[IDENTITY]
    return found


def project_of(scope: Scope) -> str:
    """The one project of a scoped token; empty for all others."""
    identity = identity_of(scope)
    return identity.project if identity.is_scoped else ""


def confine(scope: Scope, identity: Identity) -> Scope | Refusal:
    """`scope` with who sent it, and with the one project that a scoped token can mean where it names none."""
    known = {**scope, IDENTITY: identity}
    if not identity.is_scoped:
        return known
    query = scope.get("query_string", b"")
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    for project in (value for name, value in given if name in NAMING):
        refused = keep_to(identity, project)
        if refused:
            return refused
    if all(name != PROJECT for name, _ in given):  # what only looks like it, as attribute.project does, is not enough
        known["query_string"] = b"&".join(filter(None, (query, f"{PROJECT}={quote(identity.project)}".encode())))
    return known


async def keep_within(request: Request) -> None:
    """A dependency of every route: a scoped token's question names its project, or is none of its business."""
    identity = identity_of(request.scope)
    path = request.scope["path"]
    if not identity.is_scoped or path in SHARED or path.startswith(OWN_CHECKS):
        return
    for project in await _named_projects(request):
        refused = keep_to(identity, project)
        if refused:
            raise HTTPException(403, f"{refused.message}{'' if project else ': name the project'}")


async def _named_projects(request: Request) -> set[str]:
    if request.method == "POST" and request.scope["path"] in WRITE_PATHS:
        try:
            return set(_body_projects(await request.json()))
        except (ValueError, RecursionError):
            return {""}
    return set() if _takes_project(request.scope.get("route")) else {"*"}


def _body_projects(body: Any) -> Iterator[str]:
    for item in body if isinstance(body, list) else [body]:
        yield str(item.get(PROJECT, "")) if isinstance(item, dict) else ""


def _takes_project(route: Any) -> bool:
    if not isinstance(route, APIRoute):
        return False
    return any(PROJECT in _names(field) for field in route.dependant.query_params)


def _names(field: Any) -> set[str]:
    kind = field.field_info.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return set(kind.model_fields)
    return {field.alias}
