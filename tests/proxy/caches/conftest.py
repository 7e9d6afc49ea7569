"""Where answers are kept: SQLite in the test's folder, or Redis."""

from typing import Any

import pytest


@pytest.fixture(params=["sqlite", "redis"])
def where(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings that choose the store, which is empty."""
    return {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}
