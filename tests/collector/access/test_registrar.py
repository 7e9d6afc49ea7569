"""The tokens in the store: what is kept, what another process learns, what is written down."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from spanwell_collector.access.gate import ROOT, UNKNOWN, Gate
from spanwell_collector.access.registrar import Registrar
from spanwell_collector.access.rights import Identity
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("store"))
    migrate(store, load_migrations())
    yield store
    store.close()


@pytest.fixture
def gate() -> Gate:
    return Gate("token-1", now=lambda: NOW)


@pytest.fixture
def registrar(store: Store, gate: Gate) -> Registrar:
    store.command("TRUNCATE TABLE spanwell.access_tokens")
    store.command("TRUNCATE TABLE spanwell.access_audit")
    return Registrar(store, gate, now=lambda: NOW)


def test_a_new_token_opens_at_once_and_after_a_restart(store: Store, gate: Gate, registrar: Registrar) -> None:
    token, secret = registrar.create(ROOT, name="app", role="ingest", project="shop", expires=None)
    later = Gate("token-1", now=lambda: NOW)
    Registrar(store, later).refresh()

    for door in (gate, later):
        assert door.identify({"x-api-key": secret}) == Identity(token.id, "app", "ingest", "shop")


def test_a_rotated_secret_stops_at_once(gate: Gate, registrar: Registrar) -> None:
    token, old = registrar.create(ROOT, name="app", role="viewer", project="*", expires=None)

    new = registrar.rotate(ROOT, token)

    assert gate.identify({"x-api-key": old}) == UNKNOWN
    assert gate.identify({"x-api-key": new}) == Identity(token.id, "app", "viewer", "*")


def test_a_change_keeps_what_was_changed_before(gate: Gate, registrar: Registrar) -> None:
    token, _ = registrar.create(ROOT, name="app", role="viewer", project="*", expires=None)
    new = registrar.rotate(ROOT, token)

    registrar.block(ROOT, token, blocked=True)
    registrar.block(ROOT, token, blocked=False)

    assert gate.identify({"x-api-key": new}) == Identity(token.id, "app", "viewer", "*")


def test_another_collector_learns_of_a_block(store: Store, registrar: Registrar) -> None:
    token, secret = registrar.create(ROOT, name="app", role="viewer", project="*", expires=None)
    gate = Gate("token-1", now=lambda: NOW)
    other = Registrar(store, gate)
    other.refresh()

    registrar.block(ROOT, token, blocked=True)
    other.refresh()

    assert gate.identify({"x-api-key": secret}) == UNKNOWN


def test_a_deleted_token_is_listed_no_more(registrar: Registrar) -> None:
    token, _ = registrar.create(ROOT, name="app", role="viewer", project="*", expires=None)

    registrar.delete(ROOT, token)
    registrar.refresh()

    assert registrar.tokens() == []
    assert registrar.find(token.id) is None


def test_every_change_is_written_down_without_a_secret(store: Store, registrar: Registrar) -> None:
    token, secret = registrar.create(ROOT, name="app", role="viewer", project="*", expires=None)
    other = registrar.rotate(ROOT, token)
    registrar.delete(ROOT, token)

    rows = store.query("SELECT actor, action, target, detail FROM spanwell.access_audit ORDER BY action").to_pylist()

    assert [(row["action"], row["target"]) for row in rows] == [
        ("token create", token.id),
        ("token delete", token.id),
        ("token rotate", token.id),
    ]
    assert {(row["actor"], row["detail"]) for row in rows} == {("root SPANWELL_API_TOKEN", "app: viewer of *")}
    assert not any(word in str(rows) for word in (secret, other, token.digest))
