"""Starting a backup and watching it. One at a time; it goes on when whoever asked has left."""

import logging
import threading
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from spanwell.errors import ConfigError, StoreError
from spanwell.settings import Settings
from spanwell_collector.access.registrar import Registrar
from spanwell_collector.access.scope import identity_of
from spanwell_collector.api.answers import answer_error, answer_json
from spanwell_collector.lifecycle.backup import back_up, find_backups, place_backup
from spanwell_collector.store.client import Store

logger = logging.getLogger("spanwell.collector")

NOT_HERE: Final = "a ClickHouse server has backups of its own: BACKUP DATABASE spanwell TO …"


class BackupIn(BaseModel):
    """A backup as it is asked for."""

    model_config = ConfigDict(extra="forbid")

    place: Annotated[str, Field(min_length=1, max_length=1000, description="within SPANWELL_BACKUP_DIR")]
    compress: bool = False


class Backups:
    """The backup under way, or the last one."""

    def __init__(self, store: Store, data: Path) -> None:
        self._store = store
        self._data = data
        self._busy = threading.Lock()
        self.status: dict[str, Any] = {"state": "none"}

    def start(self, place: Path, *, compress: bool) -> bool:
        """Begin on a thread; False when one is under way."""
        if not self._busy.acquire(blocking=False):
            return False
        self.status = {"state": "running", "place": str(place), "step": "starting"}
        threading.Thread(target=self._run, args=(place, compress), name="backup", daemon=True).start()
        return True

    def _run(self, place: Path, compress: bool) -> None:
        try:
            manifest = back_up(self._store, self._data, place, compress=compress, report=self._report)
            self.status = {**self.status, "state": "done", "tables": manifest.tables, "files": len(manifest.files)}
        except (StoreError, OSError) as error:
            logger.exception("the backup to %s failed", place)
            self.status = {**self.status, "state": "failed", "error": str(error)}
        finally:
            self._busy.release()

    def _report(self, step: str) -> None:
        self.status = {**self.status, "step": step}


def build_backup_routes(settings: Settings, store: Store, registrar: Registrar) -> APIRouter:
    """POST to begin, GET to watch."""
    routes = APIRouter(prefix="/api/v1/backups", tags=["backups"])
    backups = Backups(store, settings.data)

    @routes.get("")
    def get_backup() -> Response:
        """The backup under way, or the last one since this collector started."""
        return answer_json(backups.status)

    @routes.post("", status_code=202)
    def start_backup(request: Request, asked: BackupIn) -> Response:
        """Copy the store to a new directory within SPANWELL_BACKUP_DIR, while it is written to."""
        if not store.is_embedded:
            return answer_error(409, NOT_HERE)
        try:
            place = place_backup(find_backups(settings), asked.place)
        except ConfigError as error:
            return answer_error(400, str(error), field="place")
        if not backups.start(place, compress=asked.compress):
            return answer_error(409, "a backup is under way: watch it with GET /api/v1/backups")
        registrar.note(identity_of(request.scope), "backup", str(place))
        return answer_json(backups.status, 202)

    return routes
