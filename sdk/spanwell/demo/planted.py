"""The facts planted in the demo's data, in one place: Spanwell has to find them, tests and docs refer to them.

Offsets count back from the moment the history is written. Live traffic goes on as the history ends.
"""

from datetime import timedelta
from typing import Final

SEED: Final = 20261121
"""Same seed and same moment: the same history, to the byte."""

HISTORY: Final = timedelta(hours=24)
"""How far back the history goes."""

# --- a slow and expensive model version, rolled out as a canary ------------------------------------------------------
SLOW_MODEL: Final = "sim-llama-8b-v2"
STEADY_MODEL: Final = "sim-llama-8b-v1"
SLOW_SINCE: Final = timedelta(hours=2, minutes=30)
SLOW_SHARE: Final = 0.3
"""Share of `support-chat` calls that the slow version answers."""
SLOW_TTFT_FACTOR: Final = 3.0
SLOW_SPEED_FACTOR: Final = 0.4
"""Tokens a second, as a part of the steady version's."""
SLOW_PRICE_FACTOR: Final = 4

# --- a new topic in the questions that customers ask -----------------------------------------------------------------
SHIFTED_APP: Final = "support"
SHIFT_SINCE: Final = timedelta(hours=1, minutes=30)
SHIFT_TOPIC: Final = "battery recall"
SHIFT_SHARE: Final = 0.4
"""Share of the app's sessions about the new topic, once it has begun."""

# --- a model that fails now and then ---------------------------------------------------------------------------------
FLAKY_MODEL: Final = "sim-flaky"
FLAKY_ERROR_RATE: Final = 0.12

# --- documents over the context window, in bursts: an alert that fires and recovers ----------------------------------
BURST_APP: Final = "digest"
BURST_FIRST_AFTER: Final = timedelta(seconds=45)
BURST_EVERY: Final = timedelta(minutes=8)
BURST_LASTS: Final = timedelta(seconds=75)
