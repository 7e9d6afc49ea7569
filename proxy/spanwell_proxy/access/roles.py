"""Who may do what with which key, team or user. The master key may everything."""

from collections.abc import Mapping
from typing import Any, Literal

from spanwell_proxy.access.records import Kind
from spanwell_proxy.caller import Caller

Action = Literal["read", "create", "change", "rotate", "block", "unblock", "delete"]

OWN: tuple[Action, ...] = ("read", "rotate", "block")
WITHIN_TEAM = ("", "viewer", "member", "team_admin")  # roles that a team's administrator may give


def may(actor: Caller, action: Action, kind: Kind, name: str, document: Mapping[str, Any]) -> bool:
    """Whether `actor` may do this to a document, as it is or as it shall be.

    | role | may |
    |---|---|
    | admin | everything |
    | team_admin | everything with keys and users of the own team; read the team |
    | member | read, rotate and block the own keys of the same team; read itself and the team |
    | viewer | read keys, users and spending of the own team |
    """
    if actor.operator or actor.role == "admin":
        return True
    own_team = bool(actor.team) and actor.team == (name if kind == "team" else document.get("team"))
    if kind == "team":
        return action == "read" and own_team and bool(actor.role)
    if actor.role == "team_admin":
        return own_team and (kind == "key" or (document.get("role") or "") in WITHIN_TEAM)
    if actor.role == "viewer":
        return own_team and action == "read"
    if actor.role == "member":
        return bool(actor.user) and (
            (
                kind == "key"
                and action in OWN
                and (document.get("user"), document.get("team")) == (actor.user, actor.team)
            )
            or (kind == "user" and name == actor.user and action == "read")
        )
    return False
