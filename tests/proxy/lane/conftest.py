"""Some of these tests import LiteLLM: as in the lane, it must not reach for the internet."""

import os

from spanwell_proxy.lane.environment import FIXED

os.environ.update(FIXED)
