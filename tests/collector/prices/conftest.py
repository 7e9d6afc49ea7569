"""One store with LiteLLM's prices for the package; each test has a project of its own."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from spanwell.config import Config
from spanwell.pricing import PriceTable, load_price_table
from spanwell_collector.prices.table import bring_up_to_date
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate
from spanwell_collector.store.pipeline.install import NATIVE, install_pipeline, render_pipeline

SEEDED = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def table() -> PriceTable:
    return load_price_table()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, table: PriceTable) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("store"))
    migrate(store, load_migrations())
    install_pipeline(store, render_pipeline(NATIVE))
    bring_up_to_date(store, table, Config(), SEEDED)
    yield store
    store.close()


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)
