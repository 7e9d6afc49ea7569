from spanwell_proxy.routing.breaker import Breaker


def test_three_failures_in_a_row_cool_a_deployment() -> None:
    breaker = Breaker()

    for _ in range(3):
        breaker.fail(100.0, None)

    assert [breaker.is_ready(now) for now in (104.9, 105.1)] == [False, True]


def test_a_backend_that_names_a_time_is_left_alone_for_it() -> None:
    breaker = Breaker()

    breaker.fail(100.0, 20.0)

    assert breaker.ready_at == 120.0
