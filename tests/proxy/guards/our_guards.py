"""An operator's guard."""

import time
from collections.abc import Mapping
from typing import Any


def check(told: Mapping[str, Any]) -> Any:
    """Finds a name, in its own time."""
    said = " ".join(told["texts"])
    if "slow" in said:
        time.sleep(0.3)
    if "broken" in said:
        raise ValueError(said)
    return {"found": {"project": 1}} if "bluebird" in said else None
