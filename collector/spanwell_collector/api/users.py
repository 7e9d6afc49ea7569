"""Forgetting a user: the administrator's route, which deletes for good."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from spanwell_collector.access.registrar import Registrar
from spanwell_collector.access.scope import identity_of
from spanwell_collector.api.answers import answer_error, answer_json
from spanwell_collector.lifecycle.forget import describe, forget_user
from spanwell_collector.store.client import Store


def build_user_routes(store: Store, registrar: Registrar, list_spools: Callable[[], Sequence[Path]]) -> APIRouter:
    """DELETE a user; `list_spools` answers the directories where spans wait to be stored."""
    routes = APIRouter(prefix="/api/v1/users", tags=["users"])
    busy = threading.Lock()

    @routes.delete("/{user_id:path}")
    def delete_user(
        request: Request,
        user_id: str,
        project: Annotated[str, Query(max_length=200, description="default: all projects")] = "",
        dry_run: bool = False,
    ) -> Response:
        """Forget everything stored about a user; answers when it is gone from the disk. `dry_run` only counts."""
        if not busy.acquire(blocking=False):
            return answer_error(409, "another user is being forgotten: try again when that is done")
        try:
            forgotten = forget_user(store, user_id, project=project, spools=list_spools(), dry_run=dry_run)
        finally:
            busy.release()
        if not dry_run:
            # A record of whom one was asked to forget must not name them.
            digest = hashlib.sha256(user_id.encode()).hexdigest()[:16]
            detail = f"{sum(forgotten.rows.values())} rows of {project or 'all projects'}"
            registrar.note(identity_of(request.scope), "user forget", f"sha256 {digest}", detail)
        return answer_json(describe(forgotten))

    return routes
