"""A real vLLM server, which `make vllm` starts, and in front of it a proxy, a collector and a worker of our own.

Without a server at VLLM_URL every test here is skipped. vLLM sends its own spans to one fixed address: the collector
listens there, at the port of OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, if nothing else does.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from openai import OpenAI

from spanwell.health import free_port
from spanwell.settings import Settings
from tests.end_to_end.house import MASTER_KEY, House, answers, wait_until

VLLM_URL = os.environ.get("VLLM_URL", "http://127.0.0.1:8001")
VLLM_SPANS_PORT = urlsplit(os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318")).port or 4318
RUBRIC = Path(__file__).parents[2] / "deploy/rubrics/helpfulness.yaml"
RATES = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "cache_read_input_token_cost": 1e-07}
START_S = 60


@pytest.fixture(scope="session")
def vllm_url() -> str:
    if not answers(f"{VLLM_URL}/health"):
        pytest.skip(f"no vLLM server at {VLLM_URL}: start one with `make vllm`")
    return VLLM_URL


@pytest.fixture(scope="session")
def house(vllm_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The services that a call passes, in front of vLLM; every answer is judged."""
    folder = tmp_path_factory.mktemp("vllm")
    config = folder / "spanwell.yaml"
    config.write_text(yaml.safe_dump(configuration(vllm_url)), encoding="utf-8")
    settings = Settings(
        data=folder / "data",
        config=config,
        proxy_port=free_port(),
        collector_port=VLLM_SPANS_PORT if is_free(VLLM_SPANS_PORT) else free_port(),
        sql_port=free_port(),
        grpc_port=free_port(),
    )
    with ExitStack() as stack:
        collector = stack.enter_context(running("spanwell_collector", settings, folder))
        assert wait_until(lambda: answers(f"{settings.collector_url}/health"), seconds=START_S), logs(folder)
        stack.enter_context(running("spanwell_proxy", settings, folder))
        stack.enter_context(running("spanwell_collector.worker", settings, folder))
        assert wait_until(lambda: answers(f"{settings.proxy_url}/health"), seconds=START_S), logs(folder)
        yield House(settings, collector, folder / "spanwell_collector.log")


@contextmanager
def running(module: str, settings: Settings, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`python -m module`, its output in `folder`; ended when the block is left."""
    with (folder / f"{module}.log").open("wb") as output:
        environ = {**os.environ, **settings.environ()}
        process = subprocess.Popen([sys.executable, "-m", module], env=environ, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture(scope="session")
def client(house: House) -> Iterator[OpenAI]:
    with OpenAI(base_url=house.base_url, api_key=MASTER_KEY, max_retries=0, timeout=60) as openai:
        yield openai


def configuration(vllm_url: str) -> dict[str, object]:
    def deployment(name: str, model: str) -> dict[str, object]:
        parameters = {"model": f"hosted_vllm/{model}", "api_base": f"{vllm_url}/v1"}
        key = os.environ.get("VLLM_API_KEY")
        return {
            "model_name": name,
            "litellm_params": {**parameters, "api_key": key} if key else parameters,
            "model_info": RATES,
        }

    judge = {"name": "helpfulness", "rubric": str(RUBRIC), "model": "tiny", "sample": 1.0, "every_seconds": 1}
    return {
        "model_list": [deployment("tiny", "tiny"), deployment("gone", "a-model-that-vllm-does-not-serve")],
        "router_settings": {"num_retries": 0},
        "general_settings": {"master_key": MASTER_KEY},
        "judges": [{**judge, "max_per_hour": 1000}],
    }


def logs(folder: Path) -> str:
    return "\n".join(f"{path.name}\n{path.read_text(encoding='utf-8')[-2000:]}" for path in folder.glob("*.log"))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
