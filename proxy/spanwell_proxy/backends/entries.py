"""What a backend serves, as entries of `model_list`: from there on it is a deployment like any other."""

from collections.abc import Mapping, Sequence
from typing import Any

from spanwell.backends import Backend
from spanwell_proxy.backends.probe import Served


def name_deployment(backend: str, model: str) -> str:
    """The id of the deployment that a model served by a backend is; the same for as long as both are named so."""
    return f"{backend}/{model}"


def list_entries(backend: Backend, served: Sequence[Served]) -> list[Mapping[str, Any]]:
    """One for each name that clients ask for. What the file names counts even while it is not served."""
    names = {one.name: one.name for one in served} if backend.models is None else backend.models
    longest = {one.name: one.max_tokens for one in served}
    return [_make_entry(backend, name, model, longest.get(model, 0)) for name, model in names.items()]


def _make_entry(backend: Backend, name: str, model: str, max_tokens: int) -> Mapping[str, Any]:
    params: dict[str, Any] = {
        "model": f"hosted_vllm/{model}",
        "api_base": backend.base,
        "api_key": backend.api_key or None,
        "weight": backend.weight,
        "order": backend.order,
        "tags": list(backend.tags),
        "max_parallel_requests": backend.max_parallel_requests,
    }
    info = {"id": name_deployment(backend.name, name), "max_input_tokens": max_tokens or None}
    return {"model_name": name, "litellm_params": params, "model_info": info, "backend": backend.name}
