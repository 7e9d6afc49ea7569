import time

from spanwell_proxy.backends.load import Load, read_load
from tests.proxy.backends.vllm_server import PAGE


def test_three_lines_say_how_busy_a_server_is() -> None:
    page = PAGE.format(running=3, waiting=5, cache_use=0.25).encode()

    assert read_load(page) == Load(waiting=5, running=3, cache_use=0.25)


def test_engines_are_added_up_and_the_fullest_cache_counts() -> None:
    page = "".join(
        f'vllm:num_requests_running{{engine="{at}"}} 2.0\nvllm:num_requests_waiting{{engine="{at}"}} {at}.0\n'
        f'vllm:kv_cache_usage_perc{{engine="{at}"}} 0.{at}\n'
        for at in (1, 4)
    )

    assert read_load(page.encode()) == Load(waiting=5, running=4, cache_use=0.4)


def test_the_older_name_of_the_cache_is_known() -> None:
    page = b"vllm:num_requests_running 1.0\nvllm:num_requests_waiting 0.0\nvllm:gpu_cache_usage_perc 0.5\n"

    assert read_load(page) == Load(waiting=0, running=1, cache_use=0.5)


def test_another_servers_page_says_nothing() -> None:
    assert read_load(b"") is None
    assert read_load(b"process_cpu_seconds_total 3.0\n") is None
    assert read_load(b"vllm:num_requests_running NaN\nvllm:num_requests_waiting 1e99\n") is None


def test_a_long_page_costs_little() -> None:
    page = b'http_request_duration_seconds_bucket{handler="/v1/chat/completions",le="0.1"} 17.0\n' * 3000
    page += PAGE.format(running=1, waiting=1, cache_use=0.1).encode()

    began = time.perf_counter()
    load = read_load(page)

    assert load == Load(1, 1, 0.1)
    assert time.perf_counter() - began < 0.02
