"""What vLLM shows becomes OTLP; what is no Prometheus text is one error of ours, whatever it is."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from spanwell_collector.ingest.measurements import MetricRow, read_metrics
from spanwell_collector.worker.exposition import MOST_LINES, UnreadableError, is_empty, read_exposition
from spanwell_collector.worker.sections import Backend

FIXTURE = Path(__file__).parents[1] / "dialects/fixtures/vllm.prometheus.txt"
BACKEND = Backend(url="http://127.0.0.1:8000/metrics", instance="127.0.0.1:8000", project="")
AT_NS = 1_795_262_400_000_000_000
HISTOGRAM = b"# TYPE vllm:h histogram\n"
WORDS = (
    b'vllm:a|# TYPE vllm:a gauge|histogram|{|}|"|\\|,|=| |\t|\n|le|-1|NaN|+Inf|1e999|__name__|_sum|_bucket|#|\xff|\x00'
)


def read(text: bytes, backend: Backend = BACKEND) -> list[Metric]:
    return list(read_exposition(text, backend, AT_NS).resource_metrics[0].scope_metrics[0].metrics)


def store(text: bytes, backend: Backend = BACKEND) -> dict[str, list[MetricRow]]:
    """The rows that the collector makes of it, by name."""
    request = read_exposition(text, backend, AT_NS)
    rows: dict[str, list[MetricRow]] = {}
    for row in read_metrics([request], project="default", now_ns=AT_NS).rows:
        rows.setdefault(row.name, []).append(row)
    return rows


def values(text: bytes) -> list[float]:
    return [point.as_double for metric in read(text) for point in metric.gauge.data_points]


def test_what_a_server_shows_becomes_rows() -> None:
    rows = store(FIXTURE.read_bytes())

    (running,) = rows["vllm:num_requests_running"]
    (prompt,) = rows["vllm:prompt_tokens_total"]
    assert (running.kind, running.value, running.service) == ("gauge", 0.0, "vllm")
    assert (running.instance, running.labels) == ("127.0.0.1:8000", {"engine": "0", "model_name": "tiny"})
    assert (prompt.kind, prompt.value, prompt.temporality) == ("sum", 1192.0, "cumulative")
    assert {row.labels["finished_reason"] for row in rows["vllm:request_success_total"]} >= {"stop", "abort"}
    assert (len(rows), {row.project for named in rows.values() for row in named}) == (40, {"default"})


def test_a_histogram_keeps_its_counts_and_its_mean() -> None:
    (row,) = store(FIXTURE.read_bytes())["vllm:request_prompt_tokens"]

    assert (row.kind, row.count, row.sum, row.temporality) == ("histogram", 6, 1192.0, "cumulative")
    assert len(row.buckets) == len(row.bounds) + 1
    assert (sum(row.buckets), row.value) == (6, 1192 / 6)
    assert "le" not in row.labels


def test_nothing_else_is_sent() -> None:
    names = {metric.name for metric in read(FIXTURE.read_bytes())}

    assert "vllm:iteration_tokens_total" in names  # a histogram, in spite of its name
    assert not [name for name in names if name.endswith("_created") or not name.startswith("vllm:")]


def test_a_counter_only_grows() -> None:
    (metric,) = read(b'# TYPE vllm:c_total counter\nvllm:c_total{a="1"} 3\n')

    assert (metric.name, metric.sum.is_monotonic, metric.sum.aggregation_temporality) == ("vllm:c_total", True, 2)
    assert metric.sum.data_points[0].time_unix_nano == AT_NS


def test_the_section_says_whose_they_are() -> None:
    rows = store(b"# TYPE vllm:g gauge\nvllm:g 1\n", BACKEND._replace(project="shop"))

    assert rows["vllm:g"][0].project == "shop"


def test_a_server_cannot_say_whose_they_are() -> None:
    rows = store(b'# TYPE vllm:g gauge\nvllm:g{"spanwell.project"="victim",model_name="m"} 1\n')

    assert (rows["vllm:g"][0].project, rows["vllm:g"][0].labels) == ("default", {"model_name": "m"})


def test_an_old_name_gives_way_to_the_new_one() -> None:
    old = b"# TYPE vllm:gpu_cache_usage_perc gauge\nvllm:gpu_cache_usage_perc 0.5\n"
    new = b"# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc 0.25\n"

    assert [metric.name for metric in read(old)] == ["vllm:kv_cache_usage_perc"]
    assert values(old) == [0.5]
    assert values(old + new) == [0.25]


def test_a_name_that_comes_twice_counts_once() -> None:
    assert values(b'# TYPE vllm:g gauge\nvllm:g{a="1"} 1\nvllm:g{a="1"} 2\n') == [2.0]


@pytest.mark.parametrize("value", ["NaN", "Inf", "-Inf", "-1", "1e999", "9" * 400])
def test_what_cannot_be_measured_is_left_out(value: str) -> None:
    text = f'# TYPE vllm:g gauge\nvllm:g{{a="1"}} {value}\nvllm:g{{a="2"}} 2\n'

    assert values(text.encode()) == [2.0]


@pytest.mark.parametrize(
    "samples",
    [
        'vllm:h_bucket{le="1"} 5\nvllm:h_bucket{le="+Inf"} 4\nvllm:h_sum 1\n',
        'vllm:h_bucket{le="1"} 0.5\nvllm:h_bucket{le="+Inf"} 4\nvllm:h_sum 1\n',
        'vllm:h_bucket{le="one"} 1\nvllm:h_bucket{le="+Inf"} 4\nvllm:h_sum 1\n',
        'vllm:h_bucket{le="nan"} 1\nvllm:h_bucket{le="+Inf"} 4\nvllm:h_sum 1\n',
        'vllm:h_bucket{le="1"} -1\nvllm:h_bucket{le="+Inf"} 4\nvllm:h_sum 1\n',
        'vllm:h_bucket{le="+Inf"} 1e300\nvllm:h_sum 1\n',
        'vllm:h_bucket{le="+Inf"} 1\nvllm:h_sum NaN\n',
        'vllm:h_bucket{le="1"} 1\nvllm:h_sum 1\n',
        "vllm:h_sum 1\n",
    ],
)
def test_a_histogram_that_cannot_be_is_left_out(samples: str) -> None:
    assert read(HISTOGRAM + samples.encode()) == []


def test_the_count_may_stand_for_the_last_bucket() -> None:
    (metric,) = read(HISTOGRAM + b'vllm:h_bucket{le="1"} 1\nvllm:h_sum 5\nvllm:h_count 3\n')

    point = metric.histogram.data_points[0]
    assert (list(point.explicit_bounds), list(point.bucket_counts), point.count) == ([1.0], [1, 2], 3)


@pytest.mark.parametrize(
    "text",
    [
        b"# TYPE vllm:g gauge\nvllm:g{ 1\n",
        b"# TYPE vllm:g gauge\nvllm:g one\n",
        b'# TYPE vllm:g gauge\nvllm:g{a="1", ="2"} 1\n',  # an IndexError of the parser's
        b"# TYPE vllm:g gauge\nvllm:g 1 " + b"9" * 400,  # an OverflowError
        b"# TYPE vllm:g colour\n",
        b"# TYPE vllm:g\n",
        b"vllm:\xff\x00 1\n",
    ],
)
def test_what_is_no_prometheus_text_is_refused(text: bytes) -> None:
    with pytest.raises(UnreadableError):
        read(text)


@pytest.mark.parametrize(
    "text", [b"", bytes(range(256)) * 64, b"<html>", b"\n" * 10**6, b'vllm:x{a="' + b'\\"' * 10**6]
)
def test_what_says_nothing_of_vllm_is_empty(text: bytes) -> None:
    assert is_empty(read_exposition(text, BACKEND, AT_NS))


def test_too_much_is_refused_before_it_is_parsed() -> None:
    text = b"# TYPE vllm:g gauge\n" + b"vllm:g 1\n" * 10**6
    began = time.monotonic()

    with pytest.raises(UnreadableError, match=str(MOST_LINES)):
        read(text)

    assert time.monotonic() - began < 1


@given(st.lists(st.sampled_from(WORDS.split(b"|")), max_size=30).map(b"".join))
def test_nothing_else_is_raised(text: bytes) -> None:
    try:
        request = read_exposition(b"# TYPE vllm:a histogram\nvllm:a" + text, BACKEND, AT_NS)
    except UnreadableError:
        return

    assert request.SerializeToString()
