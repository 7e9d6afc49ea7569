"""How long to wait before trying again."""

FIRST_BACKOFF_S = 0.25
LONGEST_BACKOFF_S = 8.0
LONGEST_RETRY_AFTER_S = 30.0  # a backend that asks for more is answered to the client as it is


def backoff_s(retry: int, retry_after_s: float | None, roll: float, least_s: float = 0.0) -> float | None:
    """Seconds to wait before retry number `retry` (from 0), or None where the backend asks for too long a wait.

    Full jitter, `roll` in [0, 1): calls that failed together do not come back together. What a backend asks for is the
    least of it.
    """
    if retry_after_s is not None and retry_after_s > LONGEST_RETRY_AFTER_S:
        return None
    jitter_s = roll * min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0**retry)
    if retry_after_s is not None:
        return max(least_s, retry_after_s) + roll * FIRST_BACKOFF_S
    return max(least_s, jitter_s)
