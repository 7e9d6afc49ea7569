"""Spans outlive the process that made them: normal end, fork, multiprocessing, SIGTERM. A dead collector is free."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.sdk.sink import Sink, running_sink, wait_until

PRELUDE = "import os, sys, signal, time, multiprocessing, spanwell\n@spanwell.trace\ndef work(name): pass\n"


@pytest.fixture(name="sink")
def sink_server() -> Iterator[Sink]:
    with running_sink() as sink:
        yield sink


def start(code: str, url: str, **environ: str) -> "subprocess.Popen[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "SPANWELL_"))}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + code],
        env={**inherited, "OTEL_EXPORTER_OTLP_ENDPOINT": url, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code: str, url: str, **environ: str) -> tuple[int, str, str]:
    process = start(code, url, **environ)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_a_normal_end_delivers(sink: Sink) -> None:
    assert run("work(1); work(2)", sink.url) == (0, "", "")

    assert sink.names == ["work", "work"]


def test_an_end_by_an_exception_delivers(sink: Sink) -> None:
    code, _, _ = run("work(1); sys.exit(3)", sink.url)

    assert (code, sink.names) == (3, ["work"])


def test_a_forked_child_delivers_its_own_and_only_its_own(sink: Sink) -> None:
    code = "work('parent')\npid = os.fork()\nwork('again')\nif pid: os.waitpid(pid, 0)\n"

    assert run(code, sink.url)[0] == 0

    assert len(sink.names) == 3
    instances = {(resource["service.instance.id"], resource["spanwell.batch.spans"]) for resource in sink.resources}
    assert sorted(spans for _, spans in instances) == [1, 2]


def test_a_child_of_multiprocessing_delivers(sink: Sink) -> None:
    code = (
        "work('parent')\n"
        "child = multiprocessing.get_context('fork').Process(target=work, args=('child',))\n"
        "child.start(); child.join()\n"
    )

    assert run(code, sink.url)[0] == 0

    assert sink.names == ["work", "work"]


def test_sigterm_delivers_and_still_ends_the_process_by_it(sink: Sink) -> None:
    process = start("work(1); print('ready', flush=True); time.sleep(30)", sink.url)
    assert process.stdout is not None
    process.stdout.readline()

    process.terminate()
    process.communicate(timeout=10)

    assert process.returncode == -signal.SIGTERM
    assert sink.names == ["work"]


def test_a_handler_of_the_host_stays(sink: Sink) -> None:
    code = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nwork(1); print('ready', flush=True); time.sleep(30)"
    process = start(code, sink.url)
    assert process.stdout is not None
    process.stdout.readline()

    process.terminate()
    process.communicate(timeout=10)

    assert (process.returncode, sink.names) == (7, ["work"])


def test_what_was_delivered_before_a_kill_stays(sink: Sink) -> None:
    process = start("work(1); print(spanwell.flush().delivered, flush=True); work(2); time.sleep(30)", sink.url)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"

    process.kill()
    process.communicate(timeout=10)

    assert "work" in sink.names


def test_a_dead_collector_costs_the_host_nothing() -> None:
    started = time.monotonic()
    code, out, err = run("for i in range(100): work(i)\nprint('done')", "http://127.0.0.1:9")

    assert (code, out) == (0, "done\n")
    assert err.count("\n") <= 1
    assert time.monotonic() - started < 5


def test_a_collector_that_hangs_delays_the_end_by_seconds_at_most(sink: Sink) -> None:
    sink.delay_s = 8.0
    started = time.monotonic()

    assert run("work(1)", sink.url)[0] == 0

    assert time.monotonic() - started < 6


def test_a_disabled_sdk_sends_nothing(sink: Sink) -> None:
    code = "work(1); spanwell.score('x', 1.0, trace_id='0' * 32); print(spanwell.flush())"

    assert run(code, sink.url, OTEL_SDK_DISABLED="true")[:2] == (0, "Delivery(delivered=0, dropped=0, waiting=0)\n")
    assert sink.requests == []


def test_service_name_and_resource_come_from_the_environment(sink: Sink) -> None:
    environ = {"OTEL_SERVICE_NAME": "shop", "OTEL_RESOURCE_ATTRIBUTES": "team=blue,service.instance.id=pod-1"}

    run("work(1)", sink.url, **environ)

    resource = sink.resources[0]
    assert (resource["service.name"], resource["team"]) == ("shop", "blue")
    assert str(resource["service.instance.id"]).startswith("pod-1-")


def test_configure_wins_over_the_environment(sink: Sink) -> None:
    code = "spanwell.configure(service_name='mine', app='till', project='p', environment='test'); work(1)"

    run(code, sink.url, OTEL_SERVICE_NAME="theirs")

    names = ("service.name", "spanwell.app", "spanwell.project", "deployment.environment.name")
    assert [sink.resources[0][name] for name in names] == ["mine", "till", "p", "test"]


def test_a_provider_of_the_host_is_joined_and_not_replaced(sink: Sink) -> None:
    code = (
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "provider = TracerProvider(); trace.set_tracer_provider(provider)\n"
        "with trace.get_tracer('theirs').start_as_current_span('outer'): work(1)\n"
        "with trace.get_tracer('theirs').start_as_current_span('second'): work(1)\n"
        "assert trace.get_tracer_provider() is provider\n"
    )

    assert run(code, sink.url) == (0, "", "")

    assert sorted(sink.names) == ["outer", "second", "work", "work"]


def test_other_libraries_spans_get_user_and_session(sink: Sink) -> None:
    code = (
        "from opentelemetry import trace\n"
        "spanwell.configure()\n"
        "with spanwell.session(user_id='u1', session_id='s1'):\n"
        "    with trace.get_tracer('theirs').start_as_current_span('outer'): pass\n"
    )

    run(code, sink.url)

    span = sink.requests[0].resource_spans[0].scope_spans[0].spans[0]
    assert {item.key: item.value.string_value for item in span.attributes} == {"user.id": "u1", "session.id": "s1"}


def test_configured_again_it_delivers_to_the_new_place(sink: Sink) -> None:
    with running_sink() as second:
        run(f"work(1); spanwell.configure(endpoint={second.url!r}); work(2)", sink.url)

        assert wait_until(lambda: second.names == ["work"])
    assert sink.names == ["work"]


def test_after_shutdown_nothing_is_recorded(sink: Sink) -> None:
    run("work(1); spanwell.shutdown(); work(2)", sink.url)

    assert sink.names == ["work"]


def test_an_address_that_is_none_is_an_error_only_where_it_is_written() -> None:
    code, _, err = run("spanwell.configure(endpoint='localhost:4318')", "http://127.0.0.1:9")

    assert code == 1
    assert "write http://HOST:PORT" in err
    assert run("work(1); print('done')", "not an address")[:2] == (0, "done\n")
