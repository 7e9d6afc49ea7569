import pytest

from spanwell_proxy.routing.breaker import RULES, Breaker, Rules


def failed(times: int, now: float = 100.0, rules: Rules = RULES) -> Breaker:
    breaker = Breaker(rules)
    for _ in range(times):
        breaker.fail(now, None, probe=breaker.begin())
    return breaker


def test_three_failures_in_a_row_cool_a_deployment() -> None:
    breaker = failed(3)

    assert [breaker.is_ready(now) for now in (104.9, 105.1)] == [False, True]
    assert [breaker.state(now) for now in (104.9, 105.1)] == ["open", "half-open"]


def test_a_success_between_them_starts_the_count_anew() -> None:
    breaker = failed(2)

    breaker.succeed(100.0, probe=breaker.begin())
    breaker.fail(100.0, None, probe=breaker.begin())

    assert (breaker.is_ready(100.0), breaker.state(100.0)) == (True, "closed")


def test_a_backend_that_names_a_time_is_left_alone_for_it() -> None:
    breaker = Breaker()

    breaker.fail(100.0, 20.0)

    assert breaker.ready_at == 120.0
    assert breaker.state(100.0) == "closed"


def test_no_backend_is_left_alone_for_hours() -> None:
    breaker = Breaker()

    breaker.fail(100.0, 86400.0)

    assert breaker.ready_at == 160.0


def test_half_open_lets_a_few_probes_through() -> None:
    breaker = failed(3, rules=Rules(probes=2))

    verdicts = []
    for _ in range(3):
        verdicts.append(breaker.is_ready(106.0))
        breaker.begin()

    assert verdicts == [True, True, False]


def test_a_probe_that_goes_well_closes_it() -> None:
    breaker = failed(3)

    breaker.succeed(106.0, probe=breaker.begin())

    assert (breaker.state(106.0), breaker.is_ready(106.0)) == ("closed", True)


def test_each_probe_that_fails_cools_it_twice_as_long() -> None:
    breaker = failed(3)
    until = []
    for now in (106.0, 120.0, 150.0, 200.0, 300.0):
        breaker.fail(now, None, probe=breaker.begin())
        until.append(breaker.ready_at - now)

    assert until == [10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_probe_that_was_taken_back_leaves_room_for_another() -> None:
    breaker = failed(3)

    breaker.drop(probe=breaker.begin())

    assert breaker.is_ready(106.0)


def test_failures_of_attempts_that_began_before_do_not_cool_it_longer() -> None:
    breaker = failed(3)

    breaker.fail(101.0, None, probe=False)

    assert breaker.ready_at == 105.0


@pytest.mark.parametrize(("every", "opens"), [(2, True), (3, False)])
def test_a_share_of_failures_opens_it_though_none_follow_each_other(every: int, opens: bool) -> None:
    breaker, states = Breaker(Rules(min_attempts=20)), set()

    for number in range(40):
        probe = breaker.begin()
        breaker.succeed(100.0, probe=probe) if number % every else breaker.fail(100.0, None, probe=probe)
        states.add(breaker.state(100.0))

    assert ("open" in states) == opens


def test_what_goes_well_though_it_is_open_closes_it() -> None:
    breaker = failed(3)

    breaker.succeed(101.0, probe=breaker.begin())

    assert breaker.state(101.0) == "closed"


def test_what_failed_before_the_window_is_forgotten() -> None:
    breaker = Breaker(Rules(failures=0, min_attempts=4))
    for _ in range(3):
        breaker.fail(100.0, None)

    for now in (140.0, 141.0, 142.0, 143.0, 144.0):
        breaker.succeed(now)
    breaker.fail(145.0, None)

    assert breaker.state(145.0) == "closed"


def test_it_can_be_switched_off() -> None:
    breaker = failed(1000, rules=Rules(failures=0, failure_rate=2.0))

    assert breaker.is_ready(100.0)
