from pathlib import Path
from typing import Any

import pytest

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell_collector.worker.sections import Backend, read_sections

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RECEIVER = {"name": "oncall", "url": "https://example.com/hook", "secret": SECRET}
RULE = {"name": "slow", "metric": "p95_ms", "op": ">", "threshold": 2000, "receiver": "oncall"}


def config(tmp_path: Path, **sections: Any) -> Config:
    return Config(source=str(tmp_path / "spanwell.yaml"), **sections)


def alerts(receiver: dict[str, Any] | None = None, rule: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"receivers": [RECEIVER | (receiver or {})], "rules": [RULE | (rule or {})]}


def test_an_empty_configuration_still_watches_for_drift(tmp_path: Path) -> None:
    sections = read_sections(config(tmp_path))

    assert sections.drift.enabled
    assert sections.judges == []
    assert sections.alerts.rules == []


def test_a_rubric_is_looked_for_beside_the_file_and_the_master_key_is_the_judges(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("{name: r, question: q, labels: {ok: a, ko: b}, pass: ok}")
    entry = {"name": "helpful", "rubric": "r.yaml", "model": "judge"}

    judges = read_sections(config(tmp_path, judges=[entry], general_settings={"master_key": "sk-m"})).judges

    assert judges[0].rubric.name == "r"
    assert judges[0].api_key == "sk-m"


def test_one_filter_value_needs_no_list(tmp_path: Path) -> None:
    rules = read_sections(config(tmp_path, alerts=alerts(rule={"filters": {"model": "llama"}}))).alerts.rules

    assert rules[0].filters == {"model": ["llama"]}


def test_a_backend_of_two_models_is_scraped_once(tmp_path: Path) -> None:
    url = "http://127.0.0.1:8000/metrics"
    pools = [{"model": name, "usd_per_hour": 1, "metrics_url": url} for name in ("large", "small")]
    elsewhere = [{"model": "m", "usd_per_hour": 1}, {**pools[0], "project": "shop", "instance": "gpu-0"}]

    backends = read_sections(config(tmp_path, gpu_hours=[*pools, *elsewhere])).backends

    assert backends == [Backend(url, "127.0.0.1:8000", ""), Backend(url, "gpu-0", "shop")]


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        ({"drift": {"alpha": 2}}, "drift.alpha: Input should be less than 1"),
        ({"drift": {"segment_by": "colour"}}, "drift.segment_by: Input should be 'model', 'request_model'"),
        ({"drift": {"alhpa": 0.1}}, "drift.alhpa: Extra inputs are not permitted"),
        ({"judges": [{"name": "a", "rubric": "r"}]}, r"judges\[0\].model: Field required"),
        ({"judges": [{"name": "a", "rubric": "nil", "model": "m"}]}, "nil: No such file"),
        (
            {"gpu_hours": [{"model": "m", "usd_per_hour": 1, "metrics_url": "gpu"}]},
            r"gpu_hours\[0\].metrics_url: write",
        ),
        ({"alerts": alerts(rule={"metric": "p42"})}, r"alerts.rules\[0\].metric: Input should be 'requests'"),
        ({"alerts": alerts(rule={"op": "=="})}, r"rules\[0\].op: Input should be '>', '>=', '<' or '<='"),
        ({"alerts": alerts(rule={"recover": 3000})}, "recover must be at or below threshold 2000"),
        ({"alerts": alerts(rule={"op": "<", "recover": 1})}, "recover must be at or above threshold 2000"),
        ({"alerts": alerts(rule={"receiver": "nobody"})}, r"'nobody' is not one of \['oncall'\]"),
        ({"alerts": alerts(rule={"metric": "drift_p_value", "by": "app"})}, "takes neither by nor filters"),
        ({"alerts": {"rules": [RULE | {"receiver": None}] * 2}}, "two rules are named 'slow'"),
        ({"alerts": alerts(receiver={"url": "http://example.com"})}, "url must be https://"),
        ({"alerts": alerts(receiver={"url": "ftp://h", "allow_private": True})}, "url must be https://"),
        ({"alerts": alerts(receiver={"url": "https://u:p@example.com"})}, "must not carry a user name"),
        ({"alerts": alerts(receiver={"secret": "whsec_c2hvcnQ="})}, "base64 of 24 to 64 random bytes"),
        ({"alerts": alerts(receiver={"secret": "hunter2"})}, "must be whsec_"),
    ],
)
def test_a_wrong_section_is_explained(tmp_path: Path, sections: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read_sections(config(tmp_path, **sections))


def test_no_complaint_tells_a_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        read_sections(config(tmp_path, alerts=alerts(receiver={"secret": "whsec_hunter2"})))

    assert "hunter2" not in str(raised.value)
