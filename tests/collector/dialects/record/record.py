"""Runs one emitter against a mock backend and an OTLP sink, and writes what it sent and what was true.

    python record.py NAME COMMAND...

COMMAND finds the backend at BACKEND_URL and the sink at OTEL_EXPORTER_OTLP_ENDPOINT; one that calls another backend
adds its own lines to CALLS_LOG. Standard library alone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import backend
import sink
import wire

FIXTURES = Path(__file__).parent.parent / "fixtures"


def record(fixture: str, command: list[str]) -> int:
    """Write NAME.{traces,logs,metrics}.pb and NAME.truth.json; the exit code of the emitter."""
    for old in FIXTURES.glob(f"{fixture}.*"):
        old.unlink()
    with TemporaryDirectory() as folder:
        calls = Path(folder) / "calls.jsonl"
        with backend.listen(fixture, calls) as answering, sink.listen(fixture, FIXTURES) as receiving:
            ports = answering.server_port, receiving.server_port
            for server in (answering, receiving):
                Thread(target=server.serve_forever, daemon=True).start()
            code = subprocess.run(command, env=environment(ports, calls)).returncode
            answering.shutdown()
            receiving.shutdown()
        write_truth(fixture, [json.loads(line) for line in calls.read_text().splitlines()])
    return code


def environment(ports: tuple[int, int], calls: Path) -> dict[str, str]:
    """For the emitter: where everything is, and nothing in the recording that tells whose machine it was."""
    backend_port, sink_port = ports
    return {
        **os.environ,
        "CALLS_LOG": str(calls),
        "BACKEND_URL": f"http://127.0.0.1:{backend_port}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink_port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "assistant",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,host.name=recorder,host.id=recorder",
        "NO_PROXY": "127.0.0.1",
    }


def write_truth(fixture: str, calls: list[dict[str, Any]]) -> None:
    """The backend's log, with what the wire lacks of it and what is odd about it."""
    told = [wire.with_wire(fixture, call) for call in calls]
    truth = {"fixture": fixture, "notes": wire.NOTES.get(fixture, []), "calls": told}
    text = json.dumps(truth, indent=2, ensure_ascii=False)
    (FIXTURES / f"{fixture}.truth.json").write_text(text + "\n")


if __name__ == "__main__":
    sys.exit(record(sys.argv[1], sys.argv[2:]))
