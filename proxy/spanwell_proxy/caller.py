"""Who calls, and what they may do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

Role = Literal["", "viewer", "member", "team_admin", "admin"]
Owner = Literal["key", "team", "user"]
Period = Literal["hour", "day", "month", "total"]

PUSD: Final = 10**12  # picodollars in a dollar: sums of prices a token are whole numbers


@dataclass(frozen=True)
class Budget:
    """At most `limit_pusd` picodollars in each `period`.

    From the share `soft` of it on, calls go to the model `downgrade`, where one is named.
    """

    period: Period
    limit_pusd: int
    soft: float | None = None
    downgrade: str = ""


@dataclass(frozen=True)
class Limits:
    """What one key, team, user, model or tag may use. None and () mean: as much as it likes."""

    budgets: tuple[Budget, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None


class Names(NamedTuple):
    """Model names as a key lists them: in full, or as what they begin with."""

    exact: frozenset[str]
    prefixes: tuple[str, ...] = ()

    def admit(self, name: str) -> bool:
        return name in self.exact or (bool(self.prefixes) and name.startswith(self.prefixes))


@dataclass(frozen=True, eq=False)
class Caller:
    """Who calls. The operator holds the master key, or nobody asks for keys at all.

    `allowed` are the names of the key, of its team and of its user: each must admit a model. `limits` are theirs too.
    """

    key_id: str = ""
    team: str = ""
    user: str = ""
    role: Role = ""
    allowed: tuple[Names, ...] = ()
    limits: Mapping[Owner, Limits] = field(default_factory=dict)
    expires_at: float | None = None  # seconds since 1970
    metadata: Mapping[str, Any] = field(default_factory=dict)
    operator: bool = False

    def may_use(self, model: str) -> bool:
        return all(names.admit(model) for names in self.allowed)


def read_names(listed: Iterable[str], groups: Mapping[str, Iterable[str]]) -> Names:
    """`listed` as it is matched; a name of `groups` stands for the names of that group."""
    whole = [name for item in listed for name in groups.get(item, (item,))]
    prefixes = tuple(name[:-1] for name in whole if name.endswith("*"))
    return Names(frozenset(name for name in whole if not name.endswith("*")), prefixes)


NOBODY: Final = Caller()
