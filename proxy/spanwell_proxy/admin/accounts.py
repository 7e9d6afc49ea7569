"""Keys, teams and users over HTTP, what they spent, and the audit log of every change."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from spanwell_proxy.access.records import Document, Kind
from spanwell_proxy.admin.acting import Actor, Admin, Books, Limits
from spanwell_proxy.admin.bodies import (
    KeyIn,
    KeyPatch,
    RotateIn,
    TeamIn,
    TeamPatch,
    UserIn,
    UserPatch,
    show,
    to_document,
)
from spanwell_proxy.admin.spending import show_spending

MOST_ENTRIES = 1000

keys = APIRouter(prefix="/admin/keys")
audit = APIRouter(prefix="/admin/audit")


@keys.post("", status_code=201)
async def make_key(wanted: KeyIn, actor: Actor, books: Books) -> dict[str, str]:
    """The answer holds the key itself: it is shown this once."""
    key_id, secret = await books.make_key(actor, to_document(wanted, whole=True), wanted.key or "")
    return {"id": key_id, "key": secret}


@keys.post("/{name}/rotate")
async def rotate_key(name: str, actor: Actor, books: Books, wanted: RotateIn | None = None) -> dict[str, str]:
    """Another secret for the key; the old one is good for a while."""
    return {"id": name, "key": await books.rotate(actor, name, (wanted or RotateIn()).grace_seconds)}


@keys.patch("/{name}")
async def change_key(name: str, wanted: KeyPatch, actor: Actor, books: Books) -> dict[str, Any]:
    return show(name, await books.change(actor, "change", "key", name, _merge(to_document(wanted, whole=False))))


@audit.get("")
async def read_audit(
    _: Admin,
    books: Books,
    limit: Annotated[int, Query(ge=1, le=MOST_ENTRIES)] = 100,
    before: Annotated[int, Query(ge=1)] = 2**62,
) -> dict[str, Any]:
    """The newest first; `before` is the number of the last one seen."""
    return {"audit": await books.read_audit(limit, before)}


def make_router(kind: Kind, router: APIRouter) -> APIRouter:
    """What keys, teams and users have in common."""

    @router.get("")
    async def read_all(actor: Actor, books: Books) -> dict[str, Any]:
        return {f"{kind}s": [show(name, document) for name, document in await books.read_all(actor, kind)]}

    @router.get("/{name}")
    async def read_one(name: str, actor: Actor, books: Books) -> dict[str, Any]:
        return show(name, await books.read(actor, kind, name))

    @router.get("/{name}/spend")
    async def read_spending(name: str, actor: Actor, books: Books, limits: Limits) -> dict[str, Any]:
        document = await books.read(actor, kind, name)
        spends = await limits.engine.read_spent(f"usd:{kind}:{name}")
        return show_spending(name, document, spends, limits.engine.now())

    @router.post("/{name}/block")
    async def block(name: str, actor: Actor, books: Books) -> dict[str, Any]:
        await books.change(actor, "block", kind, name, _merge({"blocked": True}))
        return {"id": name, "blocked": True}

    @router.post("/{name}/unblock")
    async def unblock(name: str, actor: Actor, books: Books) -> dict[str, Any]:
        await books.change(actor, "unblock", kind, name, _merge({"blocked": False}))
        return {"id": name, "blocked": False}

    @router.delete("/{name}")
    async def delete(name: str, actor: Actor, books: Books) -> dict[str, Any]:
        await books.change(actor, "delete", kind, name, lambda _: None)
        return {"id": name, "deleted": True}

    return router


def make_teams() -> APIRouter:
    router = APIRouter(prefix="/admin/teams")

    @router.post("", status_code=201)
    async def make_team(wanted: TeamIn, actor: Actor, books: Books) -> dict[str, str]:
        await books.make(actor, "team", wanted.name, to_document(wanted, whole=True))
        return {"id": wanted.name}

    @router.patch("/{name}")
    async def change_team(name: str, wanted: TeamPatch, actor: Actor, books: Books) -> dict[str, Any]:
        edit = _merge(to_document(wanted, whole=False))
        return show(name, await books.change(actor, "change", "team", name, edit))

    return make_router("team", router)


def make_users() -> APIRouter:
    router = APIRouter(prefix="/admin/users")

    @router.post("", status_code=201)
    async def make_user(wanted: UserIn, actor: Actor, books: Books) -> dict[str, str]:
        await books.make(actor, "user", wanted.name, to_document(wanted, whole=True))
        return {"id": wanted.name}

    @router.patch("/{name}")
    async def change_user(name: str, wanted: UserPatch, actor: Actor, books: Books) -> dict[str, Any]:
        edit = _merge(to_document(wanted, whole=False))
        return show(name, await books.change(actor, "change", "user", name, edit))

    return make_router("user", router)


def _merge(changes: Document) -> Any:
    return lambda document: document | changes


ROUTERS = (make_router("key", keys), make_teams(), make_users(), audit)
