"""Lets the embedded engine's merges wait while spans come in: they may take what processor time is left.

The engine has a setting for it, and ends where it may not put a priority back, which no ordinary user may. Everybody
may lower that of his own threads, and here nobody puts it back.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

THREADS: Final = "MergeMutate"
NICENESS: Final = 10


def calm_merges() -> None:
    """Of all threads of this process that merge by now; the engine may start others later."""
    for task in Path("/proc/self/task").glob("*"):
        with suppress(OSError):  # it may have ended meanwhile
            if (task / "comm").read_text(encoding="utf-8").strip() == THREADS:
                os.setpriority(os.PRIO_PROCESS, int(task.name), NICENESS)
