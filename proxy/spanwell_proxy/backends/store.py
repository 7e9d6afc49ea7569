"""What outlives a worker and what all of them must know of backends: one interface; stores are in SQLite and in Redis.

Backends that were added by hand, which of all are drained, and the models each was last seen with. Several workers
write; each reads again when the number of changes has moved.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol

from spanwell.errors import SpanwellError
from spanwell_proxy.backends.probe import Served

What = Literal["backends", "configuration"]
STALE_S: Final = 5.0  # a worker that has told nothing for so long is gone


class StoreAwayError(SpanwellError):
    """What is known of backends cannot be read or written now."""


class Known(NamedTuple):
    """`document` is as POST /admin/backends takes it; None for a backend of the file."""

    name: str
    document: Mapping[str, Any] | None = None
    is_drained: bool = False
    served: tuple[Served, ...] = ()


class BackendStore(Protocol):
    """Shared by all workers. Every method raises StoreAwayError."""

    async def count_changes(self, what: What) -> int:
        """It moves with every change, and with every wish to have the configuration read again."""

    async def list_known(self) -> list[Known]: ...

    async def add(self, name: str, document: Mapping[str, Any]) -> bool:
        """False where there is one of that name."""

    async def remove(self, name: str) -> bool:
        """False where there is none that was added by hand."""

    async def drain(self, name: str, *, drained: bool) -> None: ...

    async def keep_served(self, name: str, served: Sequence[Served]) -> None:
        """For the next start, when the backend may be away; no other worker has to hear of it."""

    async def ask_reload(self) -> None:
        """All workers are to read the configuration again."""

    async def tell_draining(self, worker: str, calls: Mapping[str, int]) -> None:
        """How many calls of this worker still run at each drained backend."""

    async def count_draining(self, worker: str) -> dict[str, int]:
        """What all workers but this one have told of late, by backend."""

    async def close(self) -> None: ...
