"""Fixtures: the demo as `make up` starts it, and a house with a configuration file over the simulated backend."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from spanwell.health import free_port
from tests.end_to_end.house import MASTER_KEY, House, answers, running_house, wait_until

SIMULATOR = "spanwell.demo.simulator:Simulator"
PRICES = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "cache_read_input_token_cost": 1e-07}


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The demo: what `make up` starts."""
    with running_house(tmp_path_factory.mktemp("demo") / "data") as house:
        yield house


@pytest.fixture(scope="session")
def simulator_url() -> Iterator[str]:
    """The simulated vLLM backend alone."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--factory", SIMULATOR, "--port", str(port), "--log-level", "error"]
    )
    url = f"http://127.0.0.1:{port}"
    try:
        assert wait_until(lambda: answers(f"{url}/health"), seconds=20)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, simulator_url: str) -> Iterator[House]:
    """An installation with a configuration file, one model, a master key, and no demo data."""
    folder = tmp_path_factory.mktemp("house")
    config = folder / "spanwell.yaml"
    config.write_text(
        f"""
model_list:
  - model_name: chat
    litellm_params: {{model: hosted_vllm/sim-llama-8b-v1, api_base: "{simulator_url}/v1"}}
    model_info: {PRICES}
general_settings: {{master_key: {MASTER_KEY}}}
""",
        encoding="utf-8",
    )
    with running_house(folder / "data", "--config", str(config)) as running:
        yield running
