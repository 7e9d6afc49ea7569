import os
from pathlib import Path

from spanwell_collector.store.client import Store
from spanwell_collector.store.merges import NICENESS, THREADS, calm_merges
from spanwell_collector.store.migrate import load_migrations, migrate


def list_niceness() -> list[int]:
    """Of every thread that merges."""
    tasks = [task for task in Path("/proc/self/task").glob("*") if (task / "comm").read_text().strip() == THREADS]
    return [os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in tasks]


def test_merges_get_what_is_left_of_the_processor(tmp_path: Path) -> None:
    store = Store(path=tmp_path / "store")
    migrate(store, load_migrations())  # who has tables has threads that merge them

    calm_merges()

    assert set(list_niceness()) == {NICENESS}
    store.close()
