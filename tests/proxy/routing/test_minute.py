from spanwell_proxy.routing.minute import Minute


def test_a_deployment_is_full_until_the_oldest_of_its_calls_is_a_minute_ago() -> None:
    minute = Minute()

    full_until = [minute.begin(now, rpm=3) for now in (0.0, 10.0, 20.0, 61.0)]

    assert full_until == [0.0, 0.0, 60.0, 70.0]


def test_tokens_are_counted_in_the_same_window() -> None:
    minute = Minute()

    full_until = [minute.use(now, tokens, tpm=100) for now, tokens in ((0.0, 60), (10.0, 50), (20.0, 5), (75.0, 90))]

    assert full_until == [0.0, 60.0, 60.0, 0.0]


def test_one_call_may_use_it_up() -> None:
    assert Minute().use(5.0, 1000, tpm=100) == 65.0
    assert Minute().begin(5.0, rpm=1) == 65.0
