from typing import Any

import pytest

from spanwell.backends import Backend, Health, read_backends
from spanwell.config import Config
from spanwell.errors import ConfigError


def read(*items: dict[str, Any]) -> tuple[Backend, ...]:
    return read_backends(Config(source="spanwell.yaml", backends=list(items)))


def test_an_address_is_enough() -> None:
    (backend,) = read({"url": "http://gpu-0:8000/v1/"})

    assert (backend.name, backend.origin, backend.base) == ("gpu-0:8000", "http://gpu-0:8000", "http://gpu-0:8000/v1")
    assert backend.metrics_url == "http://gpu-0:8000/metrics"
    assert (backend.models, backend.health, backend.scrape) == (None, Health(), True)


def test_an_address_of_numbers_is_a_name_too() -> None:
    (backend,) = read({"url": "http://[::1]:8000"})

    assert (backend.name, backend.address) == ("[::1]:8000", "[::1]:8000")


def test_models_are_all_or_some_or_have_names_of_ones_own() -> None:
    named = [{"url": f"http://gpu-{at}", "models": given} for at, given in enumerate(["auto", ["a"], {"chat": "a"}])]

    assert [backend.models for backend in read(*named)] == [None, {"a": "a"}, {"chat": "a"}]


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({}, r"backends\[0\].url: write the server's address"),
        ({"url": "gpu:8000"}, "url"),
        ({"url": "http://gpu:99999"}, "url"),
        ({"url": "http://gpu..local"}, "url: write the server's address"),
        ({"url": "http://root:word@gpu"}, "url: write scheme, host and port alone"),
        ({"url": "http://:word@gpu"}, "url: write scheme, host and port alone"),
        ({"url": "http://gpu/v1/chat"}, "url: write scheme, host and port alone"),
        ({"url": "http://gpu", "name": "a/b"}, "name: write letters"),
        ({"url": "http://gpu", "api_key": "a b"}, "api_key"),
        ({"url": "http://gpu", "models": []}, "models: write auto"),
        ({"url": "http://gpu", "models": ["*"]}, "models: write auto"),
        ({"url": "http://gpu", "models": "all"}, "models: write auto"),
        ({"url": "http://gpu", "weight": -1}, "weight"),
        ({"url": "http://gpu", "gpus": 0}, "gpus: write a whole number above 0"),
        ({"url": "http://gpu", "usd_per_gpu_hour": 0}, "usd_per_gpu_hour: write a number above 0"),
        ({"url": "http://gpu", "health": {"every": 1}}, r"health.every: not known; allowed are path, every_seconds"),
        ({"url": "http://gpu", "health": {"every_seconds": 0}}, "health.every_seconds: write a number from 0.1 on"),
        ({"url": "http://gpu", "health": {"path": "health"}}, "health.path: write a path such as /health"),
        ({"url": "http://gpu", "scrape": "yes"}, "scrape: write true or false"),
        ({"url": "http://gpu", "mode": "chat"}, "mode: not known; allowed are name, url"),
    ],
)
def test_what_is_wrong_is_named(item: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read(item)


def test_two_backends_have_two_names() -> None:
    with pytest.raises(ConfigError, match=r"backends\[1\].name: 'gpu:80' stands above"):
        read({"url": "http://gpu"}, {"url": "http://gpu:80"})


def test_no_key_shows_in_a_repr() -> None:
    assert "canary" not in repr(read({"url": "http://gpu", "api_key": "sk-canary"}))
