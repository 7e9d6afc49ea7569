"""A key's project is the project, whatever the payload says."""

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from spanwell_collector.access.stamp import stamp_project
from tests.collector.batches import SpanIn, make_batch

ELSEWHERE = {"spanwell.project": "bank"}


def test_a_span_cannot_name_another_project() -> None:
    batch = make_batch([SpanIn(attributes={"a": "1", **ELSEWHERE})], ELSEWHERE)
    pair = batch.resource_spans[0].resource.attributes.add()
    pair.key, pair.value.string_value = "spanwell.project", "bank again"

    stamp_project(batch, "shop")

    resource = [(each.key, each.value.string_value) for each in batch.resource_spans[0].resource.attributes]
    assert resource == [("service.name", "app-1"), ("spanwell.project", "shop")]
    assert [each.key for each in batch.resource_spans[0].scope_spans[0].spans[0].attributes] == ["a"]


def test_a_data_point_cannot_either() -> None:
    elsewhere = KeyValue(key="spanwell.project", value=AnyValue(string_value="bank"))
    batch = ExportMetricsServiceRequest()
    metrics = batch.resource_metrics.add().scope_metrics.add().metrics
    metrics.add(name="nothing")
    metrics.add(name="gen_ai.x").gauge.data_points.add(as_int=1, attributes=[elsewhere])

    stamp_project(batch, "shop")

    assert batch.resource_metrics[0].resource.attributes[0].value.string_value == "shop"
    assert not metrics[1].gauge.data_points[0].attributes
