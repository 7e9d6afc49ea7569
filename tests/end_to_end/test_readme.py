"""The README's examples, as they stand there, against the running demo."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spanwell.config import load_config
from tests.end_to_end.house import House

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
CONFIGURATION = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[0].replace(" ", "-"))
def test_an_example_runs(demo: House, example: str) -> None:
    here = example.replace(":4000", f":{demo.settings.proxy_port}").replace("8123", str(demo.settings.sql_port))

    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", here],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": demo.settings.collector_url},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


def test_the_configuration_example_loads(tmp_path: Path) -> None:
    path = tmp_path / "spanwell.yaml"
    path.write_text(CONFIGURATION[0], encoding="utf-8")

    config = load_config(path, {"GATEWAY_MASTER_KEY": "sk-master"})

    assert config.general_settings == {"master_key": "sk-master"}
