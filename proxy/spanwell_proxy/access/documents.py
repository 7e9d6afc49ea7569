"""Keys, teams and users as they are stored: JSON documents, and what they mean for a call."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from spanwell_proxy.access.records import Document
from spanwell_proxy.caller import PUSD, Budget, Caller, Limits, Owner, Role, read_names

HIDDEN = ("hash", "former")  # hashes of secrets: they leave the store for the memory of workers alone

Groups = Mapping[str, Iterable[str]]


def read_limits(document: Mapping[str, Any]) -> Limits:
    """What the document allows."""
    budgets = tuple(
        Budget(one["period"], int(Decimal(one["usd"]) * PUSD), one.get("soft"), one.get("downgrade") or "")
        for one in document.get("budgets") or ()
    )
    return Limits(budgets, document.get("rpm"), document.get("tpm"), document.get("concurrency"))


def read_caller(
    key_id: str, key: Mapping[str, Any], team: Mapping[str, Any], user: Mapping[str, Any], groups: Groups
) -> Caller:
    """Who calls with a key. Its team and its user bound it too, where they are known."""
    owners = (key, team, user)
    return Caller(
        key_id=key_id,
        team=key["team"],
        user=key["user"],
        role=_role(key, user),
        allowed=tuple(read_names(one["models"], groups) for one in owners if one.get("models")),
        limits=_limits(key, team, user),
        expires_at=min((one["expires_at"] for one in owners if one.get("expires_at") is not None), default=None),
        metadata=key.get("metadata") or {},
    )


def _role(key: Mapping[str, Any], user: Mapping[str, Any]) -> Role:
    """A role counts with keys of the user's own team, and an administrator's with keys of no team.

    Who administers a team makes its keys, for whichever user: none of them may open more than that team.
    """
    role: Role = user.get("role") or ""
    if role == "admin":
        return "" if key["team"] else role
    return role if (user.get("team") or key["team"]) == key["team"] else ""


def _limits(key: Mapping[str, Any], team: Mapping[str, Any], user: Mapping[str, Any]) -> dict[Owner, Limits]:
    """Teams and users that are only names have no limits of their own."""
    limits: dict[Owner, Limits] = {"key": read_limits(key)}
    if team:
        limits["team"] = read_limits(team)
    if user:
        limits["user"] = read_limits(user)
    return limits


def is_blocked(*documents: Mapping[str, Any]) -> bool:
    return any(document.get("blocked") for document in documents)


def hide_secrets(document: Document | None) -> Document | None:
    """As it may be shown."""
    return None if document is None else {name: value for name, value in document.items() if name not in HIDDEN}
