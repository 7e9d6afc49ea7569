"""Many pass at once, until somebody holds it."""

import threading

from spanwell_collector.store.turnstile import Turnstile


def test_two_pass_at_once() -> None:
    turnstile = Turnstile()

    with turnstile.passing(), turnstile.passing():
        entered = True

    assert entered


def test_who_holds_it_waits_for_those_inside_and_keeps_others_out() -> None:
    turnstile, order = Turnstile(), list[str]()
    inside, leave = threading.Event(), threading.Event()

    def write() -> None:
        with turnstile.passing():
            inside.set()
            leave.wait(5)
            order.append("written")

    def hold() -> None:
        with turnstile.holding():
            order.append("held")

    threads = [threading.Thread(target=write), threading.Thread(target=hold)]
    threads[0].start()
    inside.wait(5)
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join(5)
    with turnstile.passing():
        order.append("written again")

    assert order == ["written", "held", "written again"]
