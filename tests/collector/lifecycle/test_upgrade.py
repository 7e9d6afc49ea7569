"""A data directory of the first version, opened by this one; and the command that does it."""

import tarfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spanwell_collector.store.client import Store
from tests.collector.conftest import connect
from tests.collector.lifecycle.test_backup import spanwell
from tests.services import start_collector

GOLDEN = Path(__file__).parents[1] / "golden" / "store-0.1.tar.gz"
WINDOW = {
    "start": datetime(2085, 12, 1, tzinfo=UTC).isoformat(),
    "end": datetime(2087, 1, 1, tzinfo=UTC).isoformat(),
}
LONG = "retention: {spans_days: 3660, scores_days: 3660}"  # its ledger and scores are of 2026
COUNTS = """
SELECT
    (SELECT count() FROM spanwell.spans) AS spans,
    (SELECT count() FROM spanwell.texts) AS texts,
    (SELECT count() FROM spanwell.scores FINAL) AS scores,
    (SELECT count() FROM spanwell.alert_events FINAL) AS alerts,
    (SELECT sum(sent) FROM spanwell.ledger) AS sent,
    (SELECT max(dropped) FROM spanwell.ledger) AS dropped
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_a_store_of_the_first_version_answers_with_its_rows(data: Path) -> None:
    config = data / "spanwell.yaml"
    config.write_text(LONG, encoding="utf-8")
    service = start_collector(data, {"SPANWELL_CONFIG": str(config)})
    with connect(service) as client:
        traces = client.ask("traces", **WINDOW)["rows"]
        scores = client.ask("scores", **{**WINDOW, "start": "2020-01-01T00:00:00Z"})["rows"]
    assert service.stop() == 0
    with closing(Store(path=data / "store")) as store:
        counted = store.query(COUNTS).to_pylist()

    assert (len(traces), sum(row["spans"] for row in traces), len(scores)) == (5, 10, 5)
    assert counted == [{"spans": 10, "texts": 5, "scores": 5, "alerts": 1, "sent": 10, "dropped": 2}]


def test_the_command_says_what_is_missing_and_applies_it(data: Path) -> None:
    checked, applied, again = (spanwell(data, "migrate", *words) for words in (["--check"], [], ["--check"]))

    assert checked.returncode == 1
    assert checked.stdout.splitlines()[0] == "missing 0003_calls"
    assert (applied.returncode, applied.stdout.splitlines()[0]) == (0, "applied 0003_calls")
    assert (again.returncode, again.stdout) == (0, "up to date\n")


def test_a_half_done_migration_is_refused_with_what_to_do(data: Path) -> None:
    with closing(Store(path=data / "store")) as store:
        store.insert("migrations", [(3, "0003_calls", "", "begun")], ("number", "name", "digest", "state"))

    done = spanwell(data, "migrate")

    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: migration 0003_calls stopped half-way: restore the data directory from a backup"
    )
