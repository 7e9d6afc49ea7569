"""How long to wait before trying again."""

FIRST_BACKOFF_S = 0.25
LONGEST_BACKOFF_S = 8.0
LONGEST_RETRY_AFTER_S = 30.0  # a backend that asks for more is answered to the client as it is


def backoff_s(retry: int, retry_after_s: float | None, roll: float) -> float | None:
    """Seconds to wait before retry number `retry` (from 0), or None where the backend asks for too long a wait."""
    if retry_after_s is not None:
        return retry_after_s if retry_after_s <= LONGEST_RETRY_AFTER_S else None
    return float(min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**retry) * (0.5 + roll / 2))
