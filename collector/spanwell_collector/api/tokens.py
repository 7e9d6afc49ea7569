"""The administrator's routes for ingest keys and API tokens. A secret is answered once, when it is made."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException

from spanwell_collector.access.registrar import Registrar
from spanwell_collector.access.rights import Identity, Role, allow
from spanwell_collector.access.scope import identity_of
from spanwell_collector.access.tokens import EVERY_PROJECT, Token
from spanwell_collector.api.answers import answer_error, answer_json, to_rows
from spanwell_collector.store.client import Store

NO_ROOT: Final = (
    "set SPANWELL_API_TOKEN first: once there is a token nobody comes in without one, the administrator included"
)
AUDIT: Final = """
SELECT ts, actor, action, target, detail
FROM spanwell.access_audit
ORDER BY ts DESC
LIMIT {limit:UInt32}
"""
PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f]+$"  # it is shown on the terminals of others
TokenId = Annotated[str, Path(pattern="^[0-9a-f]{12}$")]


class TokenIn(BaseModel):
    """A token as it is asked for."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=200, pattern=PRINTABLE)]
    role: Role
    project: Annotated[str, Field(max_length=200, pattern=PRINTABLE, description="* means all")] = EVERY_PROJECT
    expires: AwareDatetime | None = None

    @model_validator(mode="after")
    def expires_lies_ahead(self) -> "TokenIn":
        if self.expires is not None and self.expires <= datetime.now(UTC):
            raise PydanticCustomError("past", "expires must lie ahead", {"field": "expires"})
        return self


def build_token_routes(store: Store, registrar: Registrar, *, has_root: bool) -> APIRouter:
    """Create, list, rotate, block and delete; who has a token of one project deals with that project's alone."""
    routes = APIRouter(prefix="/api/v1/tokens", tags=["tokens"])
    _add_lists(routes, store, registrar)
    _add_changes(routes, registrar, has_root=has_root)
    return routes


def _add_lists(routes: APIRouter, store: Store, registrar: Registrar) -> None:
    @routes.get("")
    def list_tokens(request: Request) -> Response:
        """Every token, without its secret."""
        mine = identity_of(request.scope)
        tokens = [token for token in registrar.tokens() if not allow(mine, "admin", token.project)]
        return answer_json({"rows": [_describe(token) for token in tokens]})

    @routes.get("/audit")
    def list_changes(request: Request, limit: Annotated[int, Query(ge=1, le=10_000)] = 200) -> Response:
        """Who changed which token, newest first."""
        _require(identity_of(request.scope), EVERY_PROJECT)
        return answer_json({"rows": to_rows(store.query(AUDIT, {"limit": limit}))})


def _add_changes(routes: APIRouter, registrar: Registrar, *, has_root: bool) -> None:
    @routes.post("", status_code=201)
    def create_token(request: Request, asked: TokenIn) -> Response:
        """Make a token. The answer holds its secret, which cannot be read again."""
        if not has_root:
            return answer_error(409, NO_ROOT)
        actor = identity_of(request.scope)
        _require(actor, asked.project)
        token, secret = registrar.create(
            actor, name=asked.name, role=asked.role, project=asked.project, expires=asked.expires
        )
        return answer_json({**_describe(token), "secret": secret}, 201)

    @routes.post("/{token_id}/rotate")
    def rotate_token(request: Request, token_id: TokenId) -> Response:
        """Give a token a new secret; the old one opens nothing any more."""
        actor, token = _find(request, registrar, token_id)
        return answer_json({**_describe(token), "secret": registrar.rotate(actor, token)})

    @routes.post("/{token_id}/block")
    def block_token(request: Request, token_id: TokenId) -> Response:
        """Refuse a token until it is unblocked."""
        return _block(request, registrar, token_id, blocked=True)

    @routes.post("/{token_id}/unblock")
    def unblock_token(request: Request, token_id: TokenId) -> Response:
        """Take a blocked token again."""
        return _block(request, registrar, token_id, blocked=False)

    @routes.delete("/{token_id}")
    def delete_token(request: Request, token_id: TokenId) -> Response:
        """Forget a token for good."""
        registrar.delete(*_find(request, registrar, token_id))
        return answer_json({"deleted": token_id})


def _block(request: Request, registrar: Registrar, token_id: str, *, blocked: bool) -> Response:
    registrar.block(*_find(request, registrar, token_id), blocked=blocked)
    return answer_json({"id": token_id, "blocked": blocked})


def _find(request: Request, registrar: Registrar, token_id: str) -> tuple[Identity, Token]:
    actor = identity_of(request.scope)
    token = registrar.find(token_id)
    # What lies outside its project, a scoped token is not even told to exist.
    if token is None or allow(actor, "admin", token.project):
        raise HTTPException(404, f"there is no token {token_id}")
    return actor, token


def _require(actor: Identity, project: str) -> None:
    refused = allow(actor, "admin", project)
    if refused:
        raise HTTPException(403, refused.message)


def _describe(token: Token) -> dict[str, Any]:
    return {name: getattr(token, name) for name in ("id", "name", "role", "project", "created", "expires", "blocked")}
