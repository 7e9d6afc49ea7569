"""The README's examples and those in docs/examples, as they stand there, against the running demo."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spanwell.config import load_config
from tests.end_to_end.house import House

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPTS = sorted((ROOT / "docs" / "examples").glob("*.py"))
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
CONFIGURATION = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[0].replace(" ", "-"))
def test_an_example_of_the_readme_runs(demo: House, example: str) -> None:
    here = example.replace(":4000", f":{demo.settings.proxy_port}").replace("8123", str(demo.settings.sql_port))

    ran = run(demo, "-c", here)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_script_runs(demo: House, script: Path) -> None:
    ran = run(demo, str(script))

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


def run(demo: House, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, in a shell that has exported what `spanwell up` prints."""
    exported = {
        "OPENAI_BASE_URL": demo.base_url,
        "OPENAI_API_KEY": "sk-spanwell-demo",
        "OTEL_EXPORTER_OTLP_ENDPOINT": demo.settings.collector_url,
        "SPANWELL_SQL_PORT": str(demo.settings.sql_port),
    }
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env={**os.environ, **exported},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_configuration_example_loads(tmp_path: Path) -> None:
    path = tmp_path / "spanwell.yaml"
    path.write_text(CONFIGURATION[0], encoding="utf-8")

    config = load_config(path, {"GATEWAY_MASTER_KEY": "sk-master"})

    assert config.general_settings == {"master_key": "sk-master"}
