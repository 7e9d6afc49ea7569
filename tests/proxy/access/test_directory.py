"""Keys, teams and users as they are made and changed, on both stores."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from spanwell_proxy.access.directory import Directory
from spanwell_proxy.access.keys import OPERATOR, KeyRing
from spanwell_proxy.access.records import Document, Record, Records, RecordsAwayError, SqliteRecords
from spanwell_proxy.access.redis import RedisRecords
from spanwell_proxy.caller import Caller, Role
from spanwell_proxy.failures import ApiError

NOW = 1_763_713_800.0
KEY: Document = {
    "name": "demo",
    "team": "red",
    "user": "ada",
    "models": [],
    "budgets": [],
    "rpm": None,
    "tpm": None,
    "concurrency": None,
    "expires_at": None,
    "metadata": {},
}
ADA = Caller("key_a", team="red", user="ada", role="member")


@pytest.fixture
def directory(records: Records) -> Directory:
    return Directory(records, lambda: NOW)


async def ring_of(records: Records, **groups: Any) -> KeyRing:
    ring = KeyRing(records, "sk-master-of-the-test", groups)
    await ring.refresh()
    return ring


async def find(ring: KeyRing, secret: str, now: float = NOW) -> Caller | int:
    """Who calls, or the status that refuses it."""
    try:
        return await ring.find({b"authorization": b"Bearer " + secret.encode()}, now)
    except ApiError as error:
        return error.status


async def test_a_key_made_elsewhere_is_known_at_once(directory: Directory, records: Records) -> None:
    ring = await ring_of(records)
    key_id, secret = await directory.make_key(OPERATOR, KEY)

    caller = await find(ring, secret)

    assert isinstance(caller, Caller)
    assert (caller.key_id, caller.team, caller.user) == (key_id, "red", "ada")


async def test_a_secret_belongs_to_one_key_alone(directory: Directory) -> None:
    await directory.make_key(OPERATOR, KEY, "sk-given-elsewhere")

    with pytest.raises(ApiError, match="exists already"):
        await directory.make_key(OPERATOR, KEY, "sk-given-elsewhere")


async def test_an_old_secret_is_good_for_its_grace_and_not_longer(directory: Directory, records: Records) -> None:
    ring = await ring_of(records)
    key_id, old = await directory.make_key(OPERATOR, KEY)
    new = await directory.rotate(OPERATOR, key_id, 60)
    await ring.refresh()

    found = [await find(ring, old, NOW + 59), await find(ring, old, NOW + 60), await find(ring, new, NOW + 60)]

    assert [one if isinstance(one, int) else one.key_id for one in found] == [key_id, 401, key_id]


async def test_without_grace_the_old_secret_is_gone(directory: Directory, records: Records) -> None:
    ring = await ring_of(records)
    key_id, old = await directory.make_key(OPERATOR, KEY)
    await directory.rotate(OPERATOR, key_id, 0)
    await ring.refresh()

    assert await find(ring, old) == 401


@pytest.mark.parametrize("kind", ["key", "team", "user"])
async def test_who_is_blocked_gets_no_other_answer_than_the_unknown(
    directory: Directory, records: Records, kind: Any
) -> None:
    ring = await ring_of(records)
    key_id, secret = await directory.make_key(OPERATOR, KEY)
    for owner, name in (("team", "red"), ("user", "ada")):
        await directory.make(OPERATOR, owner, name, KEY | {"name": name})  # type: ignore[arg-type]
    name = {"key": key_id, "team": "red", "user": "ada"}[kind]

    await directory.change(OPERATOR, "block", kind, name, lambda document: document | {"blocked": True})
    await ring.refresh()
    blocked = await find(ring, secret)
    await directory.change(OPERATOR, "unblock", kind, name, lambda document: document | {"blocked": False})
    await ring.refresh()

    assert blocked == await find(ring, "sk-unknown") == 401
    assert isinstance(await find(ring, secret), Caller)


async def test_a_deleted_key_is_gone_and_its_secret_free(directory: Directory, records: Records) -> None:
    ring = await ring_of(records)
    key_id, secret = await directory.make_key(OPERATOR, KEY)
    await directory.change(OPERATOR, "delete", "key", key_id, lambda _: None)
    await ring.refresh()

    gone = await find(ring, secret)
    await directory.make_key(OPERATOR, KEY, secret)

    assert (gone, isinstance(await find(ring, secret), Caller)) == (401, True)
    with pytest.raises(ApiError, match="there is no key"):
        await directory.read(OPERATOR, "key", key_id)


async def test_models_are_those_of_the_key_and_of_its_team(directory: Directory, records: Records) -> None:
    ring = await ring_of(records, fast=("small", "tiny-*"))
    await directory.make(OPERATOR, "team", "red", KEY | {"name": "red", "models": ["gpt-*", "small", "tiny-*"]})
    _, secret = await directory.make_key(OPERATOR, KEY | {"models": ["fast", "gpt-4o", "claude"]})

    caller = await find(ring, secret)

    assert isinstance(caller, Caller)
    allowed = [name for name in ("small", "tiny-1", "gpt-4o", "gpt-5", "claude", "fast") if caller.may_use(name)]
    assert allowed == ["small", "tiny-1", "gpt-4o"]


async def test_changes_at_one_moment_do_not_undo_each_other(directory: Directory) -> None:
    key_id, _ = await directory.make_key(OPERATOR, KEY | {"metadata": {"count": 0}})

    def count(document: Document) -> Document:
        return document | {"metadata": {"count": document["metadata"]["count"] + 1}}

    await asyncio.gather(*(directory.change(OPERATOR, "change", "key", key_id, count) for _ in range(4)))

    assert (await directory.read(OPERATOR, "key", key_id))["metadata"] == {"count": 4}


async def test_every_change_is_on_record_without_a_secret(directory: Directory) -> None:
    key_id, secret = await directory.make_key(OPERATOR, KEY)
    await directory.rotate(ADA, key_id, 60)
    await directory.change(OPERATOR, "change", "key", key_id, lambda document: document | {"rpm": 5})
    await directory.change(OPERATOR, "delete", "key", key_id, lambda _: None)

    entries = await directory.read_audit(10, 2**62)

    assert [(entry["action"], entry["who"]) for entry in entries] == [
        ("delete", "master_key"),
        ("change", "master_key"),
        ("rotate", "key_a"),
        ("create", "master_key"),
    ]
    assert (entries[1]["before"]["rpm"], entries[1]["after"]["rpm"]) == (None, 5)
    assert "hash" not in str(entries)
    assert secret not in str(entries)
    assert [entry["number"] for entry in await directory.read_audit(2, entries[1]["number"])] == [2, 1]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("admin", {"read", "create", "change", "rotate", "block", "delete", "other"}),
        ("team_admin", {"read", "create", "change", "rotate", "block", "delete"}),
        ("member", {"read", "rotate", "block"}),
        ("viewer", {"read"}),
        ("", set()),
    ],
)
async def test_each_role_may_do_its_part(directory: Directory, role: Role, allowed: set[str]) -> None:
    actor = Caller("key_a", team="red", user="ada", role=role)
    key_id, _ = await directory.make_key(OPERATOR, KEY)
    other, _ = await directory.make_key(OPERATOR, KEY | {"team": "blue", "user": "bob"})

    def same(document: Document) -> Document:
        return document

    tries: dict[str, Callable[[], Awaitable[Any]]] = {
        "read": lambda: directory.read(actor, "key", key_id),
        "create": lambda: directory.make_key(actor, KEY),
        "change": lambda: directory.change(actor, "change", "key", key_id, same),
        "rotate": lambda: directory.rotate(actor, key_id, 60),
        "block": lambda: directory.change(actor, "block", "key", key_id, same),
        "other": lambda: directory.read(actor, "key", other),
        "delete": lambda: directory.change(actor, "delete", "key", key_id, lambda _: None),
    }

    done = {name for name, attempt in tries.items() if await works(attempt())}

    assert done == allowed


async def works(attempt: Awaitable[Any]) -> bool:
    try:
        await attempt
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        return False
    return True


async def test_a_teams_administrator_gives_no_role_above_its_own_and_moves_nothing_out(directory: Directory) -> None:
    boss = Caller("key_b", team="red", user="eve", role="team_admin")
    user = KEY | {"name": "bob"}

    assert await works(directory.make(boss, "user", "bob", user | {"role": "team_admin"}))
    assert not await works(directory.make(boss, "user", "eva", user | {"role": "admin"}))
    assert not await works(
        directory.change(boss, "change", "user", "bob", lambda document: document | {"role": "admin"})
    )
    assert not await works(directory.change(boss, "change", "user", "bob", lambda document: document | {"team": "x"}))


@pytest.mark.parametrize(
    ("user", "team", "role"),
    [
        ({"role": "team_admin", "team": "red"}, "red", "team_admin"),
        ({"role": "team_admin", "team": "blue"}, "red", ""),
        ({"role": "member", "team": ""}, "red", "member"),
        ({"role": "admin", "team": ""}, "", "admin"),
        ({"role": "admin", "team": "red"}, "", "admin"),
        ({"role": "admin", "team": ""}, "red", ""),
        ({"role": "admin", "team": "red"}, "red", ""),
    ],
)
async def test_a_teams_key_opens_no_more_than_the_team_whoevers_it_is(
    directory: Directory, records: Records, user: Document, team: str, role: Role
) -> None:
    await directory.make(OPERATOR, "user", "ada", user)
    _, secret = await directory.make_key(OPERATOR, KEY | {"team": team})

    caller = await find(await ring_of(records), secret)

    assert isinstance(caller, Caller)
    assert caller.role == role


async def test_a_member_rotates_no_key_of_another_team(directory: Directory) -> None:
    elsewhere, _ = await directory.make_key(OPERATOR, KEY | {"team": "blue"})

    assert not await works(directory.rotate(ADA, elsewhere, 60))


async def test_a_team_named_like_a_key_does_not_free_its_secret(directory: Directory) -> None:
    key_id, _ = await directory.make_key(OPERATOR, KEY, "sk-given-elsewhere")
    await directory.make(OPERATOR, "team", key_id, {"models": []})

    with pytest.raises(ApiError, match="exists already"):
        await directory.make_key(OPERATOR, KEY, "sk-given-elsewhere")


async def test_records_that_were_replaced_are_read_anew(redis_url: str, records: Records, tmp_path: Path) -> None:
    directory, others = Directory(records), SqliteRecords(tmp_path / "other.db")
    first = [await directory.make_key(OPERATOR, KEY) for _ in range(3)]
    ring = await ring_of(records)
    _, secret = await Directory(others).make_key(OPERATOR, KEY)

    ring._records = others
    await ring.refresh()

    assert isinstance(await find(ring, secret), Caller)
    assert await find(ring, first[0][1]) == 401
    await others.close()


async def test_a_crowd_of_wrong_keys_reads_the_records_twice_at_most(records: Records) -> None:
    ring, reads = await ring_of(records), 0

    class Counted:
        async def read_since(self, revision: int) -> list[Record]:
            nonlocal reads
            reads += 1
            return await records.read_since(revision)

    ring._records = cast(Records, Counted())
    found = await asyncio.gather(*(find(ring, f"sk-wrong-{at}") for at in range(50)))

    assert found == [401] * 50
    assert reads <= 2


async def test_records_that_are_away_say_so_and_let_nobody_in() -> None:
    away = RedisRecords("redis://127.0.0.1:1/0")
    ring = KeyRing(away, "")

    with pytest.raises(RecordsAwayError, match="Redis is away"):
        await ring.refresh()
    assert await find(ring, "sk-any") == 503

    await away.close()
