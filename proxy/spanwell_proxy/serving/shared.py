"""What the workers of a gateway share: keys and limits, in SQLite for one host, in Redis for several."""

import logging
from typing import NamedTuple

from spanwell.settings import Settings
from spanwell_proxy.access.keys import KeyRing
from spanwell_proxy.access.records import Records, RecordsAwayError, SqliteRecords
from spanwell_proxy.access.redis import RedisRecords
from spanwell_proxy.limits.redis import RedisLimits
from spanwell_proxy.limits.sqlite import SqliteLimits
from spanwell_proxy.limits.store import Store

logger = logging.getLogger(__name__)


class Shared(NamedTuple):
    """One worker's connections to it."""

    records: Records
    limits: Store


def open_shared(settings: Settings) -> Shared:
    if settings.redis_url:
        return Shared(RedisRecords(settings.redis_url), RedisLimits(settings.redis_url))
    path = settings.data / "proxy" / "state.db"
    return Shared(SqliteRecords(path), SqliteLimits(path))


async def read_keys(keys: KeyRing) -> None:
    """As far as they can be read: those that are known stay good."""
    try:
        await keys.refresh()
    except RecordsAwayError as error:
        logger.warning("%s", error)
