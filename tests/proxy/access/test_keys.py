import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from spanwell import conventions as c
from spanwell_proxy.access.keys import KeyRing
from spanwell_proxy.access.records import SqliteRecords
from spanwell_proxy.failures import ApiError
from tests.proxy.backend import Backend
from tests.proxy.gateway import ASK, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink


async def make(proxy: Proxy, **wanted: Any) -> dict[str, str]:
    reply = await proxy.post(wanted, "/admin/keys")
    assert reply.status_code == 201, reply.text
    made: dict[str, str] = reply.json()
    return made


async def ask(proxy: Proxy, key: str, **extra: Any) -> int:
    return (await proxy.post(ASK | extra, authorization=f"Bearer {key}")).status_code


async def test_a_new_key_works_at_once_and_names_its_caller(proxy: Proxy, sink: Sink) -> None:
    made = await make(proxy, name="demo", team="red", user="ada")

    status = await ask(proxy, made["key"])

    (span,) = await sink.wait(1)
    assert status == 200
    named = {key: span.attributes[key] for key in (c.KEY_ID, c.TEAM, c.USER_ID)}
    assert {c.KEY_ID: made["id"], c.TEAM: "red", c.USER_ID: "ada"} == named


async def test_a_key_is_shown_once_and_hashed_at_rest(proxy: Proxy, tmp_path: Path) -> None:
    made = await make(proxy, name="demo", budgets=[{"usd": "1.5", "period": "hour"}])

    listed = await proxy.get("/admin/keys")

    assert listed.json()["keys"][0]["budgets"] == [{"usd": 1.5, "period": "hour"}]
    stored = b"".join(path.read_bytes() for path in (tmp_path / "proxy").glob("state.db*"))
    assert made["key"] not in listed.text
    assert made["key"].encode() not in stored


async def test_a_given_key_can_be_imported_once(proxy: Proxy) -> None:
    await make(proxy, key="sk-spanwell-demo")

    again = await proxy.post({"key": "sk-spanwell-demo"}, "/admin/keys")

    assert await ask(proxy, "sk-spanwell-demo") == 200
    assert (again.status_code, again.json()["error"]["code"]) == (409, "key_exists")


async def test_a_key_sees_only_its_models(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url), deployment(backend.url, "owl"))
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        made = await make(proxy, models=["owl"])
        models = await proxy.get("/v1/models", made["key"])
        statuses = [await ask(proxy, made["key"]), await ask(proxy, made["key"], model="owl")]

    assert [model["id"] for model in models.json()["data"]] == ["owl"]
    assert statuses == [403, 200]


async def test_an_expired_key_is_refused(proxy: Proxy) -> None:
    made = await make(proxy, expires_at="2020-01-01T00:00:00Z")

    assert await ask(proxy, made["key"]) == 401


async def test_blocking_and_deleting_reach_other_workers_within_a_second(
    backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    document = config(deployment(backend.url))
    async with (
        running_proxy(tmp_path, document, sink.port) as one,
        running_proxy(tmp_path, document, sink.port, worker=1) as other,
    ):
        blocked, deleted = await make(one, name="a"), await make(one, name="b")
        before = [await ask(other, made["key"]) for made in (blocked, deleted)]
        await one.post({}, f"/admin/keys/{blocked['id']}/block")
        await delete(one, deleted["id"])
        statuses: list[int] = []

        async def refused() -> bool:
            statuses[:] = [await ask(other, made["key"]) for made in (blocked, deleted)]
            return statuses == [401, 401]

        async with asyncio.timeout(1.0):
            while not await refused():
                pass

    assert before == [200, 200]
    assert statuses == [401, 401]


async def delete(proxy: Proxy, key_id: str) -> None:
    async with httpx.AsyncClient() as client:
        await client.delete(f"{proxy.url}/admin/keys/{key_id}", headers={"authorization": f"Bearer {proxy.key}"})


async def test_administration_needs_the_master_key(proxy: Proxy) -> None:
    made = await make(proxy, name="demo")

    reply = await proxy.get("/admin/keys", made["key"])

    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "master_key_required")


async def test_a_judges_call_is_the_operators_alone(proxy: Proxy, sink: Sink) -> None:
    made = await make(proxy, name="demo")

    await proxy.post(authorization=f"Bearer {made['key']}", x_spanwell_purpose="judge")

    (span,) = await sink.wait(1)
    assert c.PURPOSE not in span.attributes


async def test_without_any_key_configured_none_is_asked(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url), general_settings={})
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        calls = [await proxy.post(authorization=""), await proxy.post()]
        administration = await proxy.get("/admin/keys")

    assert [call.status_code for call in calls] == [200, 200]
    assert administration.status_code == 403


@pytest.mark.parametrize(("header", "value"), [("host", "evil.example"), ("origin", "https://evil.example")])
async def test_without_keys_a_page_from_elsewhere_is_refused(
    backend: Backend, sink: Sink, tmp_path: Path, header: str, value: str
) -> None:
    async with running_proxy(tmp_path, config(deployment(backend.url), general_settings={}), sink.port) as proxy:
        reply = await proxy.post(authorization="", timeout_s=60, **{header: value})

    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "not_for_this_machine")
    assert backend.requests == []


async def test_when_every_key_is_blocked_nobody_comes_in(proxy: Proxy, backend: Backend, tmp_path: Path) -> None:
    made = await make(proxy, name="demo")
    await proxy.post({}, f"/admin/keys/{made['id']}/block")
    records = SqliteRecords(tmp_path / "proxy" / "state.db")
    ring = KeyRing(records, master_key="")
    await ring.refresh()

    with pytest.raises(ApiError, match="no API key"):
        await ring.find({b"host": b"localhost"}, 0.0)

    await records.close()


async def test_a_wrong_field_is_named(proxy: Proxy) -> None:
    reply = await proxy.post({"budget": 1}, "/admin/keys")

    assert (reply.status_code, reply.json()["error"]["param"]) == (422, "body.budget")
