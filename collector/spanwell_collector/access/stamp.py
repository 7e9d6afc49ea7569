"""Puts what a key of one project sends into that project, whatever the payload says."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from spanwell.conventions import PROJECT

PARTS: Final = ("resource_spans", "resource_logs", "resource_metrics")
SCOPES: Final = ("scope_spans", "scope_logs", "scope_metrics")


def stamp_project(message: Any, project: str) -> None:
    """Make `project` that of every span, log record or data point in an Export*ServiceRequest, in place."""
    mark = KeyValue(key=PROJECT, value=AnyValue(string_value=project))
    for part in _each(message, PARTS):
        _drop(part.resource.attributes)
        part.resource.attributes.append(mark)
        for scope in _each(part, SCOPES):
            _drop(scope.scope.attributes)
            for item in _carriers(scope):
                _drop(item.attributes)


def _carriers(scope: Any) -> Iterator[Any]:
    yield from _each(scope, ("spans", "log_records"))
    for metric in _each(scope, ("metrics",)):
        kind = metric.WhichOneof("data")
        yield from getattr(metric, kind).data_points if kind else ()


def _each(message: Any, names: Iterable[str]) -> Iterator[Any]:
    known = message.DESCRIPTOR.fields_by_name
    for name in names:
        if name in known:
            yield from getattr(message, name)


def _drop(attributes: Any) -> None:
    for index in reversed(range(len(attributes))):
        if attributes[index].key == PROJECT:
            del attributes[index]
