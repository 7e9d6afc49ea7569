"""What the administration API takes and shows of keys, teams and users."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from spanwell_proxy.access.records import Document

LONGEST_METADATA_BYTES: Final = 16_384  # every change is kept in the audit log, with what it changed


def check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for what cannot be stored."""
    try:
        size = len(orjson.dumps(metadata))
    except TypeError as error:  # such as a number of more than 64 bits
        raise ValueError(f"it cannot be stored: {error}") from None
    if size > LONGEST_METADATA_BYTES:
        raise ValueError(f"it has {size} bytes as JSON; at most {LONGEST_METADATA_BYTES} are kept")
    return metadata


Name = Annotated[str, Field(max_length=256, pattern=r"^\P{Cc}*$")]  # terminals show them
Id = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\s\p{Cc}/?#%]+$")]
Rate = Annotated[int, Field(ge=0, le=10**12)]
Models = Annotated[list[Name], Field(max_length=1000)]
Metadata = Annotated[dict[str, Any], AfterValidator(check_metadata)]
# A moment near the ends of the calendar is none in every time zone.
Moment = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 2, tzinfo=UTC), le=datetime(9999, 12, 30, tzinfo=UTC))]
TIMES: Final = ("created_at", "expires_at")
STORED_AS_TEXT: Final = "usd"  # a float would lose digits


class BudgetIn(BaseModel):
    """At most `usd` US dollars in each `period`; from the share `soft` of it on, the model `downgrade` answers."""

    model_config = ConfigDict(extra="forbid")

    usd: Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=12)]
    period: Literal["hour", "day", "month", "total"]
    soft: Annotated[float, Field(gt=0, le=1)] | None = None
    downgrade: Name | None = None


Budgets = Annotated[list[BudgetIn], Field(max_length=8)]


class TeamIn(BaseModel):
    """A team to make. Its name is what keys name it by."""

    model_config = ConfigDict(extra="forbid")

    name: Id
    models: Models = []
    budgets: Budgets = []
    rpm: Rate | None = None
    tpm: Rate | None = None
    concurrency: Rate | None = None
    expires_at: Moment | None = None
    metadata: Metadata = {}


class UserIn(TeamIn):
    """A user to make."""

    team: Name = ""
    role: Literal["", "viewer", "member", "team_admin", "admin"] = ""


class KeyIn(TeamIn):
    """A key to make. `key` imports one that exists elsewhere."""

    name: Name = ""
    team: Name = ""
    user: Name = ""
    key: str | None = Field(None, min_length=8, max_length=256, pattern=r"^[\x21-\x7e]+$", repr=False)


class TeamPatch(BaseModel):
    """What is given is changed; null takes a limit away."""

    model_config = ConfigDict(extra="forbid")

    models: Models = []
    budgets: Budgets = []
    rpm: Rate | None = None
    tpm: Rate | None = None
    concurrency: Rate | None = None
    expires_at: Moment | None = None
    metadata: Metadata = {}


class UserPatch(TeamPatch):
    team: Name = ""
    role: Literal["", "viewer", "member", "team_admin", "admin"] = ""


class KeyPatch(TeamPatch):
    name: Name = ""
    team: Name = ""
    user: Name = ""


class RotateIn(BaseModel):
    """For how long the old key is good."""

    model_config = ConfigDict(extra="forbid")

    grace_seconds: Annotated[float, Field(ge=0, le=30 * 86400)] = 3600


def to_document(given: BaseModel, *, whole: bool) -> Document:
    """As it is stored; of a change only what was given."""
    fields = given.model_dump(exclude_unset=not whole, exclude={"key"})
    if fields.get("expires_at") is not None:
        fields["expires_at"] = fields["expires_at"].timestamp()
    if "budgets" in fields:
        fields["budgets"] = [
            {name: str(value) if name == STORED_AS_TEXT else value for name, value in budget.items()}
            for budget in fields["budgets"]
        ]
    return fields


def show(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """As it is shown: numbers and moments that people read."""
    budgets = [
        {key: float(value) if key == STORED_AS_TEXT else value for key, value in budget.items() if value is not None}
        for budget in document.get("budgets") or ()
    ]
    times = {
        key: datetime.fromtimestamp(document[key], UTC).isoformat() if document.get(key) is not None else None
        for key in TIMES
    }
    return {"id": name} | dict(document) | times | {"budgets": budgets}
