"""Writes the demo's spanwell.yaml and its rubric: routes to the simulator, judges, drift, alerts, and fresh secrets."""

import base64
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from spanwell.config import Config, load_config
from spanwell.demo.planted import BURST_APP, SHIFTED_APP, SLOW_SHARE
from spanwell.demo.profiles import DEFAULT_MAX_TOKENS, FLAKY, JUDGE, QWEN, SLOW, STEADY, ModelProfile
from spanwell.settings import Settings

DEMO_KEY: Final = "sk-spanwell-demo"
INTERNS_KEY: Final = "sk-spanwell-demo-interns"
DEMO_TEAM: Final = "shop"
INTERNS_TEAM: Final = "interns"
INTERNS_BUDGET_USD: Final = "0.03"  # an hour: some thirty calls, then status 429
RECEIVER: Final = "oncall"

HEADER = (
    "# Written by the demo and written again when it starts: your own configuration belongs in a file of your own.\n"
)

RUBRIC: Final[Mapping[str, Any]] = {
    "name": "helpfulness",
    "question": "Does the answer help the user with what they asked?",
    "pass": "pass",
    "labels": {
        "pass": "It addresses the question and names at least one concrete fact or step.",
        "fail": "It stays general, apologises without a way forward, or answers something else.",
    },
}


@dataclass(frozen=True)
class DemoConfig:
    """Where the file is, and the two keys a person may want: one to call with, one to administer with."""

    path: Path
    api_key: str
    master_key: str


def write_demo_config(settings: Settings, simulator_port: int) -> DemoConfig:
    """Write `<data>/demo/spanwell.yaml` and the rubric beside it. Secrets are random, and kept once they are made."""
    folder = settings.data.absolute() / "demo"
    path = folder / "spanwell.yaml"
    (folder / "rubrics").mkdir(parents=True, exist_ok=True)
    earlier = load_config(path) if path.exists() else Config()
    master_key = earlier.general_settings.get("master_key") or f"sk-spanwell-master-{secrets.token_urlsafe(24)}"
    webhook_secret = _webhook_secret(earlier) or "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    _write_private(folder / "rubrics" / "helpfulness.yaml", _dump(RUBRIC))
    document = build_document(f"http://127.0.0.1:{simulator_port}", master_key, webhook_secret)
    _write_private(path, HEADER + _dump(document))
    return DemoConfig(path, DEMO_KEY, master_key)


def build_document(simulator_url: str, master_key: str, webhook_secret: str) -> dict[str, Any]:
    """The configuration as data."""
    api_base = f"{simulator_url}/v1"
    receiver = {"name": RECEIVER, "url": f"{simulator_url}/webhooks", "secret": webhook_secret, "allow_private": True}
    return {
        "model_list": [
            _deployment("support-chat", STEADY, api_base, weight=round(1 - SLOW_SHARE, 2)),
            _deployment("support-chat", SLOW, api_base, weight=SLOW_SHARE),
            _deployment("llama-8b", STEADY, api_base),
            _deployment("code-assist", QWEN, api_base),
            _deployment("qwen-32b", QWEN, api_base),
            _deployment("summarizer", FLAKY, api_base),
            _deployment("judge", JUDGE, api_base),
        ],
        "router_settings": {"num_retries": 1, "timeout": 30, "fallbacks": [{"summarizer": ["llama-8b"]}]},
        "general_settings": {"master_key": master_key},
        "cache": {"enabled": True, "ttl_seconds": 600, "max_mb": 64},
        "judges": [
            {
                "name": "helpfulness",
                "rubric": "rubrics/helpfulness.yaml",
                "model": "judge",
                "sample": 0.1,
                "max_per_hour": 1200,
                "api_key": master_key,
            }
        ],
        "drift": {
            "segment_by": "app",
            "window_minutes": 60,
            "reference_minutes": 360,
            "every_seconds": 30,
            "alpha": 0.01,
            "min_sessions": 20,
        },
        "alerts": {"receivers": [receiver], "rules": [_slow_rule(), _burst_rule()]},
    }


def _slow_rule() -> dict[str, Any]:
    """Fires on the slow model version and stays: nobody rolls it back."""
    return {
        "name": "slow model version",
        "metric": "p95_ms",
        "filters": {"app": [SHIFTED_APP]},
        "by": "model",
        "window_minutes": 5,
        "op": ">",
        "threshold": 1500,
        "recover": 1200,
        "for_seconds": 2,
        "min_requests": 10,
        "severity": "page",
        "receiver": RECEIVER,
        "every_seconds": 2,
    }


def _burst_rule() -> dict[str, Any]:
    """Fires when too many documents are refused, and recovers when the burst is over."""
    return {
        "name": "documents refused",
        "metric": "error_rate",
        "filters": {"app": [BURST_APP]},
        "by": "app",
        "window_minutes": 1,
        "op": ">",
        "threshold": 0.3,
        "recover": 0.15,
        "for_seconds": 10,
        "min_requests": 5,
        "severity": "ticket",
        "receiver": RECEIVER,
        "every_seconds": 5,
    }


def _deployment(group: str, model: ModelProfile, api_base: str, weight: float = 1.0) -> dict[str, Any]:
    return {
        "model_name": group,
        "litellm_params": {"model": f"hosted_vllm/{model.name}", "api_base": api_base, "weight": weight},
        "model_info": {
            "id": f"{group}/{model.name}",
            "simulated": True,
            "max_output_tokens": DEFAULT_MAX_TOKENS,  # what a call of the interns is taken for before it is made
            **model.rates,
        },
    }


def _webhook_secret(earlier: Config) -> str:
    receivers = earlier.alerts.get("receivers") or [{}]
    return str(receivers[0].get("secret") or "")


def _dump(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=120)


def _write_private(path: Path, text: str) -> None:
    """Replace `path` in one step, readable by its owner alone."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
