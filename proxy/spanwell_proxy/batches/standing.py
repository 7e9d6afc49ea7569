"""Where a batch stands that a provider works at: kept in its row, and asked of the provider with patience."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from typing import Any, Final, TypeVar

from spanwell_proxy.batches.handed import Handed, read_handed
from spanwell_proxy.batches.provider import BatchApi, Document
from spanwell_proxy.batches.store import BatchStore, Row
from spanwell_proxy.failures import ApiError
from spanwell_proxy.gateway import Gateway

logger = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
LOOK_EVERY_S: Final = 0.5  # whether the batch was cancelled meanwhile
GRACE_S: Final = 3600.0  # after a batch's time, for a provider to end it and to tell what it has

Told = TypeVar("Told")


class Standing:
    """`find_gateway`: the one that calls begin with now."""

    def __init__(self, store: BatchStore, find_gateway: Callable[[], Gateway]) -> None:
        self._store = store
        self._find_gateway = find_gateway

    def reread(self, row: Row) -> Handed:
        return read_handed(self._store.find_batch(row["id"], None) or row)

    def note(self, row: Row, handed: Handed, **changes: Any) -> Handed:
        """What is kept from now on."""
        noted = replace(handed, **changes)
        self._store.change_batch(row["id"], handed=asdict(noted))
        return noted

    def note_counts(self, row: Row, standing: Document) -> None:
        """What the provider says of its progress."""
        counts = standing.get("request_counts")
        told = counts if isinstance(counts, dict) else {}
        known = {name: told[name] for name in ("completed", "failed") if type(told.get(name)) is int}
        self._store.change_batch(row["id"], **known)

    def is_over(self, row: Row) -> bool:
        """Whether its owner or its time wants it to end."""
        found = self._store.find_batch(row["id"], None)
        return time.time() >= row["expires_at"] or found is None or found["status"] == "cancelling"

    def is_lost(self, row: Row) -> bool:
        """Whether nothing is hoped for any more."""
        return bool(time.time() >= row["expires_at"] + GRACE_S)

    def find_provider(self, handed: Handed) -> BatchApi:
        """Raises ApiError 503 where its deployment is not configured now."""
        gateway = self._find_gateway()
        for one in gateway.find_group(handed.model):
            if one.deployment.id == handed.deployment:
                return BatchApi(gateway.client, one.deployment)
        raise ApiError(503, "deployment_gone", f"the deployment {handed.deployment!r} is not configured any more")

    async def insist(self, row: Row, ask: Callable[[], Awaitable[Told]]) -> Told:
        """Again and again, while it may help: the provider has the batch, and nobody else can tell of it."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await ask()
            except ApiError as failure:
                if failure.kind == "upstream_404" or self.is_lost(row):
                    raise
                logger.warning("batch %s: %s", row["id"], failure.message)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def pause(self, row: Row, pause_s: float, *, is_told: bool = False) -> None:
        """Shorter, where the batch is to end meanwhile."""
        until = time.monotonic() + pause_s
        while (left_s := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left_s, LOOK_EVERY_S))
            if not is_told and self.is_over(row):
                return
