import subprocess
import sys

DEAD_PARENT = """
import asyncio, sys
from spanwell_proxy.orphans import end_with_parent

async def live() -> None:
    await asyncio.gather(end_with_parent(int(sys.argv[1])), asyncio.sleep(30))

asyncio.run(live())
"""


def test_a_process_ends_whose_parent_was_gone_before_it_looked() -> None:
    ended = subprocess.run([sys.executable, "-c", DEAD_PARENT, "1"], timeout=20, check=False)

    assert ended.returncode < 0
