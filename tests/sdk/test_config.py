"""spanwell.yaml: LiteLLM's sections and ours, references to the environment, and errors that name the place."""

from pathlib import Path

import pytest

from spanwell.config import Config, load_config
from spanwell.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "spanwell.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_is_an_empty_configuration() -> None:
    assert load_config(None) == Config()


def test_references_are_resolved_at_any_depth(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "model_list:\n- {model_name: chat, litellm_params: {model: openai/x, api_key: os.environ/KEY}}\n"
        "environment_variables: {REGION: north}\n"
        "litellm_settings: {region: os.environ/REGION}\n",
    )

    config = load_config(path, {"KEY": "sk-1"})

    assert config.model_list[0]["litellm_params"] == {"model": "openai/x", "api_key": "sk-1"}
    assert config.litellm_settings == {"region": "north"}
    assert config.source == str(path)


def test_names_are_texts_as_in_json(tmp_path: Path) -> None:
    path = write(tmp_path, "model_list: [{litellm_params: {logit_bias: {50256: -100}}}]")

    assert load_config(path).model_list == [{"litellm_params": {"logit_bias": {"50256": -100}}}]


def test_the_real_environment_wins_over_the_files(tmp_path: Path) -> None:
    path = write(tmp_path, "environment_variables: {REGION: north}\nlitellm_settings: {region: os.environ/REGION}\n")

    assert load_config(path, {"REGION": "south"}).litellm_settings == {"region": "south"}


def test_an_empty_section_is_a_missing_one(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "model_list:\ncache:\nenvironment_variables:\n")).model_list == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alarms: {}", "unknown key 'alarms'; allowed are model_list"),
        ("model_list: {}", "model_list must be a list"),
        ("model_list: [chat]", r"model_list\[0\] must be a mapping"),
        ("cache: []", "cache must be a mapping"),
        ("environment_variables: [A]", "environment_variables must be a mapping"),
        ("- a", "must be a mapping"),
        ("a: [", "not YAML"),
        ("cache: {since: 2026-13-01}", "not YAML: month must be in 1..12"),
        ("cache: {size: !!int many}", "not YAML: invalid literal"),
        ("cache: " + "[" * 3000, "not YAML"),
        ("general_settings: {master_key: os.environ/NOT_SET}", "master_key: environment variable NOT_SET is not set"),
        ("1: 2", "unknown key 1"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(ConfigError, match=message) as raised:
        load_config(path, {})

    assert str(path) in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        load_config(tmp_path / "none.yaml")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "spanwell.yaml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match="not YAML"):
        load_config(path)


def test_an_error_in_yaml_quotes_no_secret(tmp_path: Path) -> None:
    path = write(tmp_path, "general_settings: {master_key: sk-abcdefghijklmnop: oops}")

    with pytest.raises(ConfigError) as raised:
        load_config(path)

    assert "sk-abcdefghijklmnop" not in str(raised.value)


def test_secrets_are_not_shown() -> None:
    assert "sk-1" not in repr(Config(general_settings={"master_key": "sk-1"}, judges=[{"api_key": "sk-1"}]))


def test_a_section_for_litellm_alone_is_read_past_and_named(tmp_path: Path) -> None:
    path = tmp_path / "spanwell.yaml"
    path.write_text("model_list: []\nguardrails: [{guardrail_name: pii}]\n", encoding="utf-8")

    assert load_config(path, {}).unused == ("guardrails",)


def test_included_files_join_their_lists_and_are_told(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/models.yaml").write_text(
        "include: [last.yaml]\nmodel_list: [{model_name: b}]\ncache: {ttl_seconds: 2}", encoding="utf-8"
    )
    (tmp_path / "more/last.yaml").write_text("model_list: [{model_name: c}]", encoding="utf-8")
    path = write(tmp_path, "include: [more/models.yaml]\nmodel_list: [{model_name: a}]\ncache: {ttl_seconds: 1}")

    config = load_config(path, {})

    assert [model["model_name"] for model in config.model_list] == ["a", "b", "c"]
    assert config.cache == {"ttl_seconds": 2}
    assert [file.name for file in config.files] == [path.name, "models.yaml", "last.yaml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("include: models.yaml", "include must be a list of files"),
        ("include: [none.yaml]", "none.yaml: No such file"),
        ("include: [spanwell.yaml]", "is included already"),
    ],
)
def test_a_wrong_include_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path, text), {})


def test_only_litellms_settings_may_name_variables_that_are_not_set(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "general_settings: {alerting: [os.environ/NOT_SET], master_key: k}"), {})

    assert (config.general_settings, config.unset) == ({"master_key": "k"}, ("general_settings.alerting",))
