"""Two workers, and two hosts: one shared limit."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path

import pytest

from tests.proxy.backend import Backend
from tests.proxy.limits.race import CALL_USD, race, two_gateways, two_workers

Places = Callable[[Path, str], AbstractContextManager[list[str]]]


@pytest.mark.parametrize("places", [two_workers, two_gateways])
async def test_200_calls_at_a_budgets_edge(backend: Backend, tmp_path: Path, places: Places) -> None:
    backend.pause_s = 0.02

    with places(tmp_path, backend.url) as urls:
        outcome = await race(urls, calls=200, budget_usd=100 * CALL_USD + Decimal("0.00001"), at_once=200)

    assert (outcome.overspent_usd, outcome.false_refusals, outcome.others) == (Decimal(0), 0, 0)
    assert outcome.booked_usd == outcome.admitted * CALL_USD
    assert outcome.admitted >= 97  # what the last may cost is more than what it does cost
