"""What each role may do."""

import pytest

from spanwell_collector.access.rights import ROLES, Identity, Refusal, Right, Role, allow, need_of


@pytest.mark.parametrize(
    ("method", "path", "roles"),
    [
        ("POST", "/v1/traces", {"admin", "ingest"}),
        ("POST", "/api/public/otel/v1/traces", {"admin", "ingest"}),
        ("GET", "/api/v1/overview", {"admin", "editor", "viewer"}),
        ("GET", "/metrics", {"admin", "editor", "viewer"}),
        ("POST", "/api/v1/scores", {"admin", "editor"}),
        ("POST", "/api/v1/alerts/events", {"admin", "editor"}),
        ("DELETE", "/api/v1/scores", {"admin"}),
        ("DELETE", "/api/v1/users/alice", {"admin"}),
        ("POST", "/api/v1/reprice", {"admin"}),
        ("POST", "/api/v1/what-comes-next", {"admin"}),
        ("GET", "/api/v1/tokens", {"admin"}),
        ("GET", "/api/v1/dead-letters", {"admin"}),
        ("POST", "/api/v1/backups", {"admin"}),
    ],
)
def test_each_request_is_for_some_roles(method: str, path: str, roles: set[Role]) -> None:
    need = need_of(method, path)

    assert {role for role in ROLES if allow(Identity("1", "", role, "*"), need) is None} == roles


@pytest.mark.parametrize("need", ["ingest", "read", "write", "admin"])
def test_a_token_of_one_project_is_kept_from_another(need: Right) -> None:
    admin = Identity("1", "", "admin", "shop")

    assert allow(admin, need, "shop") is None
    assert allow(admin, need, "bank") == Refusal(
        403, "this needs a token for project 'bank'; yours is for 'shop'", "project"
    )
    assert allow(admin, need, "*") == Refusal(
        403, "this needs a token for all projects; yours is for 'shop'", "project"
    )
