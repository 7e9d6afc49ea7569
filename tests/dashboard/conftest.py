"""A canned collector for every test that wants one, and pages run as scripts in this process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.dashboard.canned import Canned, serving

APP = Path(__file__).parents[2] / "dashboard" / "spanwell_dashboard" / "app.py"
OpenPage = Callable[..., AppTest]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canned]:
    """A running canned collector that the settings point at."""
    with serving(Canned()) as canned:
        monkeypatch.setenv("SPANWELL_COLLECTOR_PORT", str(canned.port))
        yield canned
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def open_page(collector: Canned) -> OpenPage:
    """Run a page by its file name, with query parameters."""

    def run(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(APP, default_timeout=30)
        app.query_params.update(query)
        app.run()  # registers the pages
        app.query_params.update(query)
        return app.switch_page(f"views/{name}.py").run()

    return run
