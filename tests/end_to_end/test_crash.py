"""What is killed comes back, and what was answered is stored."""

import os
import signal
import threading
import time

from clickhouse_connect.driver.exceptions import OperationalError
from openai import OpenAI

from tests.end_to_end.house import MASTER_KEY, House, wait_until


def test_every_call_answered_while_the_collector_was_killed_is_a_row(house: House) -> None:
    answered: list[str] = []
    stop = threading.Event()

    def call() -> None:
        with OpenAI(base_url=house.base_url, api_key=MASTER_KEY, max_retries=0) as client:
            while not stop.is_set():
                reply = client.chat.completions.create(
                    model="chat", messages=[{"role": "user", "content": f"call {len(answered)}"}], max_tokens=4
                )
                answered.append(reply.id)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for _ in range(2):
        time.sleep(1)
        for pid in house.pids("spanwell_collector"):
            os.kill(pid, signal.SIGKILL)
        answered_before = len(answered)
        wait_until(lambda: house.pids("spanwell_collector"), seconds=10)
        assert wait_until(lambda: len(answered) > answered_before, seconds=5)  # noqa: B023
    time.sleep(1)
    stop.set()
    for caller in callers:
        caller.join()

    def rows() -> int:
        try:
            found = house.query(
                "SELECT count() FROM spanwell.spans WHERE response_id IN {ids:Array(String)}",
                ids=answered,
            )
        except OperationalError:  # not started again yet
            return 0
        return int(found[0][0])

    wait_until(lambda: rows() >= len(answered), seconds=30, every=0.5)
    assert len(set(answered)) == len(answered)
    assert rows() == len(answered)


def test_a_second_house_on_the_same_data_says_so(house: House) -> None:
    import subprocess
    import sys

    second = subprocess.run(
        [sys.executable, "-m", "spanwell.cli", "up"],
        env={**os.environ, **house.settings.environ()},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert second.returncode == 1
    assert "already running" in second.stderr + second.stdout
