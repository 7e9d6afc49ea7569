"""A real vLLM server with its own tracing, called inside one traced span; `make vllm` builds what it needs.

Its answers are the truth, for there is no mock behind it; its Prometheus page is kept as vllm.prometheus.txt.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import scenario
import tracing
from answers import Call
from opentelemetry.propagate import inject

HERE = Path(__file__).parent
SERVE = HERE.parents[3] / "deploy/vllm/serve.sh"
START_S = 180
LONG = "Tell me about the rivers of France. " * 20  # several blocks of vLLM's prefix cache


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(url: str) -> subprocess.Popen[bytes]:
    """The server, once it answers."""
    sink = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"
    places = {"VLLM_PORT": url.rpartition(":")[2], "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": sink}
    server = subprocess.Popen([SERVE], env={**os.environ, **places}, stdout=sys.stderr)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urlopen(f"{url}/health").close()
        except URLError:
            time.sleep(1)
        else:
            return server
    server.terminate()
    raise TimeoutError(f"vLLM did not answer within {START_S} s")


def ask(url: str, prompt: str, **options: Any) -> dict[str, Any]:
    """The answer, a stream put together from its first and last events."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": prompt}], "max_tokens": 8, "ignore_eos": True}
    headers = {"content-type": "application/json"}
    inject(headers)
    with urlopen(Request(f"{url}/v1/chat/completions", json.dumps({**body, **options}).encode(), headers)) as answer:
        lines = answer.read().decode().removesuffix("data: [DONE]\n\n").split("\n\n")
    parts = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    return {**parts[0], **parts[-1]}


def log(label: str, prompt: str, answer: dict[str, Any], stream: bool = False) -> None:
    usage = answer["usage"]
    call = Call(
        label,
        "chat",
        "vllm",
        "tiny",
        response_model=answer["model"],
        response_id=answer["id"],
        input_tokens=usage["prompt_tokens"],
        output_tokens=usage["completion_tokens"],
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
        stream=stream,
        input_contains=prompt,
    )
    with Path(os.environ["CALLS_LOG"]).open("a") as calls:
        calls.write(json.dumps(call.as_json()) + "\n")


def make_calls(url: str) -> None:
    tracer = tracing.start().get_tracer("assistant")
    ids = {"user.id": scenario.USER, "session.id": scenario.SESSION}
    with tracer.start_as_current_span("assistant", attributes=ids):
        log("unary", scenario.QUESTION, ask(url, scenario.QUESTION))
        streaming = {"stream": True, "stream_options": {"include_usage": True}}
        log("streamed", scenario.QUESTION, ask(url, scenario.QUESTION, **streaming), stream=True)
        log("several", scenario.QUESTION, ask(url, scenario.QUESTION, n=2))
        log("long", LONG, ask(url, LONG))
        log("cached", LONG, ask(url, LONG))


def main() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    server = start(url)
    try:
        make_calls(url)
        time.sleep(2)  # vLLM exports its spans on a timer
        page = urlopen(f"{url}/metrics").read()
        (HERE.parent / "fixtures/vllm.prometheus.txt").write_bytes(page)
    finally:
        server.terminate()
        server.wait(60)


if __name__ == "__main__":
    main()
