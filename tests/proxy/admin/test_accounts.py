"""The administration of keys, teams and users over HTTP."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.proxy.access.test_keys import ask, make
from tests.proxy.backend import Backend
from tests.proxy.gateway import Proxy, config, deployment, running_proxy
from tests.proxy.redis import running_redis
from tests.proxy.sink import Sink

LIMITED: dict[str, Any] = {
    "name": "demo",
    "team": "red",
    "user": "ada",
    "models": ["fox"],
    "budgets": [{"usd": 1.5, "period": "day", "soft": 0.8, "downgrade": "fox"}],
    "rpm": 60,
    "tpm": 10_000,
    "concurrency": 4,
    "expires_at": "2099-01-01T00:00:00+00:00",
    "metadata": {"purpose": "tests"},
}


async def send(proxy: Proxy, method: str, path: str, body: Any = None, key: str = "") -> httpx.Response:
    async with httpx.AsyncClient() as client:
        headers = {"authorization": f"Bearer {key or proxy.key}"}
        return await client.request(method, proxy.url + path, json=body, headers=headers)


async def test_what_a_key_was_made_with_is_shown(proxy: Proxy) -> None:
    made = await make(proxy, **LIMITED)

    shown = (await proxy.get(f"/admin/keys/{made['id']}")).json()

    assert set(made) == {"id", "key"}
    assert {name: shown[name] for name in LIMITED} == LIMITED
    assert shown["blocked"] is False
    assert "hash" not in shown


async def test_a_change_holds_at_once_and_leaves_the_rest(proxy: Proxy) -> None:
    made = await make(proxy, **LIMITED)

    changed = await send(proxy, "PATCH", f"/admin/keys/{made['id']}", {"models": ["owl"], "rpm": None})
    await proxy.get("/admin/keys")

    assert (changed.json()["models"], changed.json()["rpm"], changed.json()["tpm"]) == (["owl"], None, 10_000)


async def test_blocked_and_let_in_again(proxy: Proxy) -> None:
    made = await make(proxy)
    await send(proxy, "POST", f"/admin/keys/{made['id']}/block")
    shown = (await proxy.get(f"/admin/keys/{made['id']}")).json()["blocked"]
    again = await send(proxy, "POST", f"/admin/keys/{made['id']}/unblock")

    assert (shown, again.json()) == (True, {"id": made["id"], "blocked": False})
    assert await ask(proxy, made["key"]) == 200


async def test_a_rotated_key_works_beside_the_old_one(proxy: Proxy) -> None:
    made = await make(proxy)

    new = (await send(proxy, "POST", f"/admin/keys/{made['id']}/rotate", {"grace_seconds": 60})).json()

    assert new["id"] == made["id"]
    assert [await ask(proxy, new["key"]), await ask(proxy, made["key"])] == [200, 200]


async def test_teams_and_users_are_kept_likewise(proxy: Proxy) -> None:
    assert (await proxy.post({"name": "red", "rpm": 5}, "/admin/teams")).json() == {"id": "red"}
    assert (await proxy.post({"name": "ada", "role": "member", "team": "red"}, "/admin/users")).status_code == 201
    twice = await proxy.post({"name": "red"}, "/admin/teams")

    await send(proxy, "PATCH", "/admin/teams/red", {"tpm": 7})
    teams, users = (await proxy.get("/admin/teams")).json(), (await proxy.get("/admin/users")).json()

    assert (twice.status_code, twice.json()["error"]["code"]) == (409, "team_exists")
    assert [(team["id"], team["rpm"], team["tpm"]) for team in teams["teams"]] == [("red", 5, 7)]
    assert [(user["id"], user["role"], user["team"]) for user in users["users"]] == [("ada", "member", "red")]


async def test_a_member_administers_its_own_keys_with_one_of_them(proxy: Proxy) -> None:
    await proxy.post({"name": "ada", "role": "member", "team": "red"}, "/admin/users")
    own = await make(proxy, user="ada", team="red")
    other = await make(proxy, user="bob", team="red")

    listed = (await proxy.get("/admin/keys", own["key"])).json()["keys"]
    statuses = [
        (await send(proxy, "GET", f"/admin/keys/{own['id']}/spend", key=own["key"])).status_code,
        (await send(proxy, "GET", f"/admin/keys/{other['id']}", key=own["key"])).status_code,
        (await send(proxy, "DELETE", f"/admin/keys/{own['id']}", key=own["key"])).status_code,
        (await send(proxy, "GET", "/admin/audit", key=own["key"])).status_code,
        (await send(proxy, "POST", f"/admin/keys/{own['id']}/rotate", key=own["key"])).status_code,
    ]

    assert [key["id"] for key in listed] == [own["id"]]
    assert statuses == [200, 404, 403, 403, 200]


async def test_spending_names_budgets_and_when_they_reset(proxy: Proxy) -> None:
    made = await make(proxy, budgets=[{"usd": "2", "period": "total"}])

    told = (await proxy.get(f"/admin/keys/{made['id']}/spend")).json()

    assert told["spent_usd"] == {"hour": "0", "day": "0", "month": "0", "total": "0"}
    assert told["budgets"] == [{"usd": "2", "period": "total", "spent_usd": "0", "left_usd": "2", "resets_at": None}]


async def test_the_audit_log_is_the_administrators(proxy: Proxy) -> None:
    made = await make(proxy, name="demo")
    await send(proxy, "DELETE", f"/admin/keys/{made['id']}")

    entries = (await proxy.get("/admin/audit?limit=1")).json()["audit"]

    assert [(entry["action"], entry["kind"], entry["id"]) for entry in entries] == [("delete", "key", made["id"])]
    assert made["key"] not in (await proxy.get("/admin/audit")).text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"rpm": -1}, "body.rpm"),
        ({"budgets": [{"usd": 1, "period": "week"}]}, "body.budgets.0.period"),
        ({"budgets": [{"usd": 1, "period": "day", "soft": 2}]}, "body.budgets.0.soft"),
        ({"expires_at": "2027-01-01"}, "body.expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "body.expires_at"),
        ({"metadata": {"count": 10**30}}, "body.metadata"),
        ({"metadata": {"text": "x" * 20_000}}, "body.metadata"),
        ({"name": "\x1b[2J"}, "body.name"),
        ({"hash": "00"}, "body.hash"),
        ({"blocked": False}, "body.blocked"),
    ],
)
async def test_a_wrong_field_is_named(proxy: Proxy, body: dict[str, Any], field: str) -> None:
    made = await proxy.post(body, "/admin/keys")

    assert (made.status_code, made.json()["error"]["param"]) == (422, field)


async def test_two_hosts_on_one_redis_share_keys(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    document = config(deployment(backend.url))
    with running_redis(tmp_path) as redis_url:
        async with (
            running_proxy(one, document, sink.port, redis_url=redis_url) as first,
            running_proxy(other, document, sink.port, redis_url=redis_url) as second,
        ):
            made = await make(first, name="demo")
            status = await ask(second, made["key"])
            listed = (await second.get("/admin/keys")).json()["keys"]

    assert (status, [key["id"] for key in listed]) == (200, [made["id"]])


async def test_a_gateway_whose_redis_is_away_lets_nobody_in_and_says_why(
    backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    document = config(deployment(backend.url))
    async with running_proxy(tmp_path, document, sink.port, redis_url="redis://127.0.0.1:1/0") as proxy:
        call = await proxy.post(authorization="Bearer sk-any")
        keys = await proxy.get("/admin/keys")

    assert (call.status_code, call.json()["error"]["code"]) == (503, "state_unavailable")
    assert (keys.status_code, keys.json()["error"]["code"]) == (503, "state_unavailable")
