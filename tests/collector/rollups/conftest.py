"""One store for the module; each test has a project of its own."""

from collections.abc import Iterator

import pytest

from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("store"))
    migrate(store, load_migrations())
    yield store
    store.close()


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)
