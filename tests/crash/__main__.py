"""Breaks the collector in every way we could think of, and counts: `make test-crash`.

After each, a collector started on what is left must hold every acknowledged span exactly once, and its ledger must say
so. Exits with 1 if one case does not hold.
"""

import argparse
import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from spanwell.settings import Settings
from tests.collector.conftest import poll
from tests.crash.sender import SPANS_A_BATCH, Sender
from tests.crash.victim import POINTS
from tests.services import answers, clean_environ, make_collector_settings, start_collector

IDS = "SELECT trace_id FROM spanwell.spans WHERE NOT ignore(*) ORDER BY trace_id FORMAT TabSeparated"  # all is read
FAST = {"SPANWELL_FLUSH_MS": "30"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="kills at random moments")
    parser.add_argument("--outage-seconds", type=int, default=600, help="how long the store stays away")
    arguments = parser.parse_args()
    cases: list[tuple[str, Callable[[Path], str]]] = [
        *((f"kill -9 at {point}", lambda data, point=point: kill_at(data, point)) for point in POINTS),
        (f"{arguments.kills} times kill -9 at random", lambda data: kill_at_random(data, arguments.kills)),
        ("answers lost after the commit", lose_answers),
        ("disk full, of the spool", fill_the_disk),
        ("disk full, of everything", fill_the_whole_disk),
        ("flipped bits", flip_bits),
        (f"store away for {arguments.outage_seconds} s", lambda data: go_away(data, arguments.outage_seconds)),
    ]
    failed = 0
    for name, case in cases:
        with tempfile.TemporaryDirectory(prefix="spanwell-crash-") as folder:
            try:
                result = f"held: {case(Path(folder))}"
            except AssertionError as error:
                result, failed = f"FAILED: {error}", failed + 1
        sys.stdout.write(f"{name:<40} {result}\n")
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


def kill_at(data: Path, point: str) -> str:
    """Die at the first, third and seventh time the process gets to `point`."""
    sender = Sender("kill")
    for count in (1, 3, 7):
        victim = start_victim(data, [point, str(count)])
        deadline = time.monotonic() + 10
        while victim.poll() is None and time.monotonic() < deadline:
            sender.send(url_of(data))
        assert victim.wait(15) == -signal.SIGKILL, f"never got to {point}"
    return check(data, sender)


def kill_at_random(data: Path, kills: int) -> str:
    dice, sender = random.Random(7), Sender("random")
    for _ in range(kills):
        service = start_collector(data, FAST)
        sender.send_until(service.settings.collector_url, time.monotonic() + dice.random())
        service.process.kill()
        service.process.wait()
    return check(data, sender)


def lose_answers(data: Path) -> str:
    """Every batch is sent, its answer thrown away, and sent again; half of them to the next process."""
    sender = Sender("deaf")
    for _ in range(2):
        service = start_collector(data, FAST)
        for _ in range(20):
            assert sender.send(service.settings.collector_url, lose_answer=True)
        service.stop()
    return check(data, sender)


def fill_the_disk(data: Path) -> str:
    """A spool on a disk of two megabytes, and a store that takes nothing for ten seconds."""
    spool = data / "collector" / "spool"
    spool.mkdir(parents=True)
    mount = f"mount -t tmpfs -o size=2m spool {spool} && exec {sys.executable} -m tests.crash.victim outage 10"
    victim = start_victim(data, command=["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount])
    sender = Sender("full", text="x" * 10_000)
    deadline = time.monotonic() + 8
    while 503 not in sender.refusals and time.monotonic() < deadline:
        sender.send(url_of(data))
    assert 503 in sender.refusals, "the disk was never full"
    assert answers(f"{url_of(data)}/health"), "the process did not live on"
    sender.finish(url_of(data))
    sender.send_until(url_of(data), time.monotonic() + 1)
    victim.terminate()
    assert victim.wait(30) == 0, "did not stop"
    assert set(sender.refusals) == {503}, f"answered {set(sender.refusals)}"
    return check(data, sender)


def fill_the_whole_disk(data: Path) -> str:
    """Store and spool on one disk, which something else fills up to the last byte, again and again."""
    mount = f"mount -t tmpfs -o size=400m data {data} && exec {sys.executable} -m tests.crash.victim outage 0"
    victim = start_victim(data, command=["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount])
    ballast = Path(f"/proc/{victim.pid}/root{data}/ballast")
    sender = Sender("whole", text="x" * 2_000)
    for _ in range(3):
        sender.send_until(url_of(data), time.monotonic() + 1)
        filler = threading.Thread(target=fill, args=(ballast,))
        filler.start()
        deadline = time.monotonic() + 5
        while filler.is_alive() or time.monotonic() < deadline:
            sender.send(url_of(data))
        ballast.unlink()
        sender.finish(url_of(data))
    assert set(sender.refusals) == {503}, f"answered {set(sender.refusals)}"
    with httpx.Client(base_url=url_of(data), timeout=30) as http:
        left = poll(lambda: http.get("/health").json()["spool_bytes"], lambda size: size == 0, seconds=30)
    reply = httpx.get(RUNNING[data].sql_url, params={"query": IDS}, timeout=30)
    assert reply.status_code == 200, f"the store cannot be read: {reply.text[:200]}"
    stored = [int(line, 16) for line in reply.text.split()]
    victim.terminate()
    assert (victim.wait(30), left) == (0, 0), f"{left} bytes were never stored"
    assert stored == sorted(sender.acknowledged), f"{len(sender.acknowledged)} acknowledged, {len(stored)} stored"
    return f"{len(stored)} spans acknowledged, stored once each"


def fill(ballast: Path) -> None:
    """In a second or two, so that inserts are under way at every amount of space."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
            time.sleep(0.002)


def flip_bits(data: Path) -> str:
    """Damage one byte of a segment that waits: the record it lies in may be lost, and is counted; no other is."""
    sender = Sender("flipped")
    service = start_collector(data, {"SPANWELL_FLUSH_MS": "60000"})
    for _ in range(20):
        assert sender.send(service.settings.collector_url)
    service.process.kill()
    service.process.wait()
    [segment] = (data / "collector" / "spool").glob("*.spool")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0x10
    segment.write_bytes(content)

    stored, _ = read_back(data)

    lost = len(sender.acknowledged) - len(stored)
    assert len(stored) == len(set(stored)), "stored twice"
    assert lost in (0, SPANS_A_BATCH), f"one damaged record took {lost} spans with it"
    return f"{len(stored)} of {len(sender.acknowledged)} spans; a damaged record is kept aside"


def go_away(data: Path, seconds: int) -> str:
    """The store takes nothing for `seconds`; the spool fills to its bound, says so, and drains in order."""
    victim = start_victim(data, ["outage", str(seconds)], {"SPANWELL_SPOOL_MAX_MB": "2"})
    sender, deadline = Sender("outage", text="x" * 20_000), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not sender.send(url_of(data)):
            time.sleep(0.5)
    sender.finish(url_of(data))
    victim.terminate()
    assert victim.wait(60) == 0, "did not stop"
    assert set(sender.refusals) == {503}, f"answered {set(sender.refusals)}"
    return check(data, sender)


def check(data: Path, sender: Sender) -> str:
    """Start a collector on what is left: every acknowledged span is there once, and the ledger agrees."""
    stored, ledger = read_back(data, sender)
    assert stored == sorted(sender.acknowledged), (
        f"{len(sender.acknowledged)} acknowledged, {len(stored)} stored, {len(set(stored))} of them different"
    )
    assert (ledger.get("sent"), ledger.get("stored"), ledger.get("missing")) == (len(stored), len(stored), 0), (
        f"ledger {ledger}"
    )
    return f"{len(stored)} spans acknowledged, stored once each; the ledger agrees"


def read_back(data: Path, sender: Sender | None = None) -> tuple[list[int], dict[str, int]]:
    """The numbers of the stored spans, and the ledger's line, once all that waits is stored."""
    last = start_collector(data)
    if sender:
        sender.finish(last.settings.collector_url)
    with httpx.Client(base_url=last.settings.collector_url, timeout=30) as http:
        left = poll(lambda: http.get("/health").json()["spool_bytes"], lambda size: size == 0)
        assert left == 0, f"{left} bytes were never stored"
        rows = http.get("/api/v1/ledger").json()["rows"]
    ids = httpx.get(last.settings.sql_url, params={"query": IDS}, timeout=30).text.split()
    assert last.stop() == 0
    return [int(trace_id, 16) for trace_id in ids], next(iter(rows), {})


RUNNING: dict[Path, Settings] = {}


def start_victim(
    data: Path,
    arguments: Sequence[str] = (),
    environ: dict[str, str] | None = None,
    command: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    settings = RUNNING[data] = make_collector_settings(data, {**FAST, **(environ or {})})
    with (data / "victim.log").open("ab") as log:
        process = subprocess.Popen(
            command or [sys.executable, "-m", "tests.crash.victim", *arguments],
            env=clean_environ() | settings.environ(),
            stdout=log,
            stderr=log,
        )
    # It may die at once: that is its point.
    deadline = time.monotonic() + 30
    while not answers(f"{settings.collector_url}/health") and process.poll() is None:
        assert time.monotonic() < deadline, (data / "victim.log").read_text()
        time.sleep(0.05)
    return process


def url_of(data: Path) -> str:
    return RUNNING[data].collector_url


if __name__ == "__main__":
    main()
