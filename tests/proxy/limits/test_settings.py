import pytest

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell_proxy.caller import PUSD, Budget, Limits
from spanwell_proxy.limits.settings import LimitSettings, fill, read_limit_settings


def test_without_a_section_nothing_is_limited() -> None:
    assert read_limit_settings(Config()) == LimitSettings()


def test_each_part_of_the_section_is_read() -> None:
    budget = {"usd": "0.5", "period": "day", "soft": 0.8, "downgrade": "small"}
    section = {"teams": {"budgets": [budget], "rpm": 5}, "tags": {"batch": {"concurrency": 2}}, "wait_seconds": 1}

    settings = read_limit_settings(Config(limits=section))

    assert settings.each == {"team": Limits((Budget("day", PUSD // 2, 0.8, "small"),), rpm=5)}
    assert (settings.tags, settings.wait_s) == ({"batch": Limits(concurrency=2)}, 1.0)


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"key": {}}, "limits.key: unknown key"),
        ({"keys": {"rate": 1}}, "limits.keys.rate: unknown key"),
        ({"keys": {"rpm": 1.5}}, "limits.keys.rpm"),
        ({"keys": {"rpm": -1}}, "limits.keys.rpm"),
        ({"keys": {"budgets": {"usd": 1}}}, "limits.keys.budgets"),
        ({"models": {"m": {"budgets": [{"usd": "much", "period": "day"}]}}}, "limits.models.m.budgets[0].usd"),
        ({"models": {"m": {"budgets": [{"usd": 1, "period": "week"}]}}}, "limits.models.m.budgets[0].period"),
        ({"gateway": {"budgets": [{"usd": 1, "period": "day", "soft": 2}]}}, "limits.gateway.budgets[0].soft"),
        ({"downgrade": {"large": 1}}, "limits.downgrade.large"),
        ({"on_store_failure": "panic"}, "limits.on_store_failure: write closed or open"),
        ({"wait_seconds": "long"}, "limits.wait_seconds"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(section: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_limit_settings(Config(limits=section))

    assert named in str(refused.value)


def test_what_is_set_counts_before_what_holds_for_each() -> None:
    own, each = Limits(rpm=1, concurrency=0), Limits((Budget("day", 5),), rpm=9, tpm=9, concurrency=9)

    assert fill(own, each) == Limits((Budget("day", 5),), rpm=1, tpm=9, concurrency=0)
