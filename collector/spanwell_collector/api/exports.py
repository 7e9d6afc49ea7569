"""The route of exports."""

from fastapi import APIRouter

from spanwell_collector.store.client import Store


def build_export_routes(store: Store, project: str) -> APIRouter:
    return APIRouter()
