import pytest

from spanwell_proxy.routing.facts import Facts
from spanwell_proxy.routing.load import hear_load


def test_what_a_vllm_says_of_itself_is_noted() -> None:
    facts = Facts()

    hear_load(facts, 'JSON {"named_metrics":{"num_requests_waiting":3.0,"kv_cache_usage_perc":0.25}}', 100.0)

    assert (facts.waiting, facts.cache_use, facts.load_at) == (3, 0.25, 100.0)


@pytest.mark.parametrize(
    "told",
    [
        *("", "TEXT a=1", "JSON [", "JSON []", 'JSON {"named_metrics": 3}', "JSON " + "[" * 3000),
        'JSON {"named_metrics":{"num_requests_waiting":"many","kv_cache_usage_perc":0.5}}',
        'JSON {"named_metrics":{"num_requests_waiting":-1,"kv_cache_usage_perc":0.5}}',
        'JSON {"named_metrics":{"num_requests_waiting":true}}',
    ],
)
def test_nonsense_is_no_news(told: str) -> None:
    facts = Facts()

    hear_load(facts, told, 100.0)

    assert facts.waiting is None
