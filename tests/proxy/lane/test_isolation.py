"""What LiteLLM must not do by itself: reach out, load its server, hook in, keep to itself what it was told."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from spanwell_proxy.lane.environment import scrub

# Runs before anything else is imported: whoever looks up a name or connects is told on.
WATCH = """
import socket, sys, threading, json
reached = []
def deny(*given, **_):
    reached.append(repr(given[:2]))
    raise OSError("there is no network here")
socket.getaddrinfo = socket.gethostbyname = socket.create_connection = deny
socket.socket.connect = socket.socket.connect_ex = deny
"""
TELL = """
import time, litellm
time.sleep(0.5)  # what was begun in a thread
hooks = ("callbacks", "success_callback", "failure_callback", "_async_success_callback", "input_callback")
print(json.dumps({
    "reached": reached,
    "server": [name for name in sys.modules if name.startswith("litellm.proxy.proxy_server")],
    "hooks": [name for name in hooks if getattr(litellm, name)],
    "cache": repr(litellm.cache),
    "threads": [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()],
}))
"""


# Names of models for which LiteLLM would fetch a tokenizer, and pictures that it would fetch to measure them.
COUNT = """
import asyncio
from spanwell_proxy.errand import Errand
from spanwell_proxy.lane.translator import count_tokens
picture = {"type": "image", "source": {"type": "url", "url": "https://example.com/fox.png"}}
asked = {"messages": [{"role": "user", "content": [{"type": "text", "text": "foxes " * 1000}, picture]}]}
for model in ("hosted_vllm/meta-llama/llama-3-8b", "cohere/command-r-plus", "hosted_vllm/meta-llama/llama-2-7b"):
    counted = asyncio.run(count_tokens(Errand("/messages/count_tokens", asked, {"model": model}, 1.0), {}))
    assert b"input_tokens" in counted.body and b":0}" not in counted.body, counted
"""


@pytest.fixture(name="told", scope="module")
def told_by_a_fresh_process() -> dict[str, Any]:
    code = "\n".join((WATCH, "import spanwell_proxy.lane.server", COUNT, TELL))
    run = subprocess.run([sys.executable, "-P", "-c", code], env=scrub({}), capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told | {"stderr": run.stderr}


def test_it_is_imported_without_a_network(told: dict[str, Any]) -> None:
    assert told["reached"] == []
    assert told["stderr"] == ""


def test_its_server_its_hooks_and_its_cache_are_not_loaded(told: dict[str, Any]) -> None:
    assert (told["server"], told["hooks"], told["cache"]) == ([], [], "None")


def test_it_leaves_no_thread_behind(told: dict[str, Any]) -> None:
    assert told["threads"] == []


def test_it_installs_no_line_that_python_runs_at_start() -> None:
    site = Path(sysconfig.get_path("purelib"))

    lines = [line for path in site.glob("*.pth") for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line for line in lines if line.startswith(("import ", "import\t")) and "litellm" in line.lower()] == []


def test_the_hot_lane_never_imports_it() -> None:
    code = "import spanwell_proxy.serving.app, sys; print('litellm' in sys.modules or 'openai' in sys.modules)"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert run.stdout == "False\n"
