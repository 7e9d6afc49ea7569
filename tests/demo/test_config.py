import stat
from pathlib import Path

import yaml

from spanwell.config import load_config
from spanwell.demo.config import DEMO_KEY, RECEIVER, write_demo_config
from spanwell.demo.planted import SLOW_MODEL, SLOW_SHARE
from spanwell.demo.profiles import MODELS, price_of
from spanwell.pricing import PriceTable
from spanwell.settings import Settings
from spanwell_collector.worker.sections import read_sections
from spanwell_proxy.config.reading import read_routes


def test_the_file_loads_and_routes_to_the_simulator(tmp_path: Path) -> None:
    demo = write_demo_config(Settings(data=tmp_path), 18_001)

    config = load_config(demo.path)

    assert demo.api_key == DEMO_KEY
    assert config.general_settings["master_key"] == demo.master_key
    assert {entry["litellm_params"]["api_base"] for entry in config.model_list} == {"http://127.0.0.1:18001/v1"}
    assert all(entry["model_info"]["simulated"] for entry in config.model_list)


def test_the_slow_version_is_a_canary_of_support_chat(tmp_path: Path) -> None:
    config = load_config(write_demo_config(Settings(data=tmp_path), 1).path)

    weights = {
        entry["litellm_params"]["model"]: entry["litellm_params"]["weight"]
        for entry in config.model_list
        if entry["model_name"] == "support-chat"
    }
    assert weights[f"hosted_vllm/{SLOW_MODEL}"] == SLOW_SHARE
    assert sum(weights.values()) == 1


def test_secrets_are_private_and_kept_when_the_port_changes(tmp_path: Path) -> None:
    first = write_demo_config(Settings(data=tmp_path), 1)
    secret = load_config(first.path).alerts["receivers"][0]["secret"]

    second = write_demo_config(Settings(data=tmp_path), 2)

    assert second.master_key == first.master_key
    assert load_config(second.path).alerts["receivers"][0]["secret"] == secret
    assert stat.S_IMODE(second.path.stat().st_mode) == 0o600


def test_two_directories_have_different_secrets(tmp_path: Path) -> None:
    keys = {write_demo_config(Settings(data=tmp_path / name), 1).master_key for name in "ab"}

    assert len(keys) == 2


def test_judges_find_their_rubric_beside_the_file(tmp_path: Path) -> None:
    demo = write_demo_config(Settings(data=tmp_path), 1)

    (judge,) = load_config(demo.path).judges

    rubric = yaml.safe_load((demo.path.parent / judge["rubric"]).read_text())
    assert rubric["pass"] in rubric["labels"]


def test_the_proxy_reads_the_prices_that_the_history_is_written_with(tmp_path: Path) -> None:
    config = load_config(write_demo_config(Settings(data=tmp_path), 1).path)

    routes = read_routes(config, PriceTable())

    by_name = {model.name: price_of(model) for model in MODELS}
    for deployment in (one for group in routes.deployments.values() for one in group):
        assert deployment.price == by_name[deployment.model]


def test_the_worker_accepts_its_sections(tmp_path: Path) -> None:
    config = load_config(write_demo_config(Settings(data=tmp_path), 1).path)

    sections = read_sections(config)

    assert [judge.rubric.name for judge in sections.judges] == ["helpfulness"]
    assert {rule.receiver for rule in sections.alerts.rules} == {RECEIVER}
