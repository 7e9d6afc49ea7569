"""What is installed is what was locked, and nothing of it runs by itself."""

import re
import sysconfig
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_every_locked_package_carries_hashes() -> None:
    pins = re.split(r"\n(?=[a-zA-Z0-9_.-]+==)", LOCK)

    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []


def test_the_lock_names_no_registry() -> None:
    assert re.findall(r"https?://\S+", LOCK) == []


def test_litellm_is_not_one_of_the_two_malicious_releases() -> None:
    assert version("litellm") not in {"1.82.7", "1.82.8"}


def test_litellm_installs_no_file_that_python_runs_at_start() -> None:
    # The malicious releases hid a stealer in litellm_init.pth, which every interpreter executes.
    site = Path(sysconfig.get_path("purelib"))

    assert [path.name for path in site.glob("*.pth") if "litellm" in path.name.lower()] == []
