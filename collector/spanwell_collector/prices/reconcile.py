"""Compares what a provider bills with what is stored, and says of each difference where it comes from.

Money differs because calls are missing on one side, because the same calls count other tokens, because the same tokens
have another rate, or because it is billed for no tokens. Decisions alone: both sides are given.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

from spanwell_collector.prices.exports import Line

VERSION: Final = re.compile(r"[-@](20\d{6}|20\d\d-\d\d-\d\d)$")  # gpt-4o-mini-2024-07-18 is gpt-4o-mini on a bill
NOTHING: Final = Decimal(0)
CAUSES: Final = ("missing calls", "tokens", "rate", "other charges")


class Place(NamedTuple):
    """What is compared: a day, a model and, where both sides know keys, a key."""

    day: date
    model: str
    key: str


class Side(NamedTuple):
    """One kind of token on one side. None: that side says nothing of it."""

    tokens: int | None
    usd: Decimal | None

    @property
    def rate(self) -> Decimal | None:
        return self.usd / self.tokens if self.tokens and self.usd is not None else None


class Difference(NamedTuple):
    """One kind of token at one place, on both sides; money is theirs minus ours."""

    place: Place
    kind: str
    ours: Side
    theirs: Side
    cause: str  # one of CAUSES, "" where they agree
    by_tokens_usd: Decimal
    by_rate_usd: Decimal


class Account(NamedTuple):
    """The sums of both sides over all places, and every kind of token that differs."""

    ours_usd: Decimal
    theirs_usd: Decimal
    differences: list[Difference]
    calls: list[tuple[Place, int, int]]  # ours and theirs, where they differ
    by_key: bool

    def share(self, cause: str) -> Decimal:
        """US dollars of the difference that one cause makes."""
        return sum((one.by_tokens_usd + one.by_rate_usd for one in self.differences if one.cause == cause), NOTHING)


def read_stored(rows: Iterable[Mapping[str, Any]]) -> list[Line]:
    """The rows of /api/v1/prices/billed as lines."""
    lines = []
    for row in rows:
        place = Line(date.fromisoformat(row["day"]), row["model"], row["key_id"], "", provider=row["provider"])
        for kind in sorted({*row["tokens"], *row["costs"]}):
            usd = Decimal(row["costs"].get(kind, 0))
            lines.append(place._replace(kind=kind, tokens=int(row["tokens"].get(kind, 0)), usd=usd))
        lines.append(place._replace(kind="request", calls=int(row["calls"])))
    return lines


def reconcile(ours: Sequence[Line], theirs: Sequence[Line]) -> Account:
    """Compare on the days and models the provider speaks of; by key, if all of its lines have one and we know any."""
    keys = {line.key for line in theirs if not line.is_empty}
    by_key = "" not in keys and not keys.isdisjoint(line.key for line in ours)
    ours = _keep_to(theirs, ours)
    mine, bill = _group(ours, by_key=by_key), _group(theirs, by_key=by_key)
    calls = _compare_calls(_count(ours, by_key=by_key), _count(theirs, by_key=by_key), {place for place, _ in bill})
    missing = {place for place, mine_, other in calls if mine_ != other}
    found = [
        _compare(place, kind, mine.get((place, kind), Side(0, NOTHING)), bill.get((place, kind)), place in missing)
        for place, kind in sorted({*mine, *bill})
    ]
    return Account(
        sum((one.ours.usd or NOTHING for one in found), NOTHING),
        sum((one.theirs.usd or NOTHING for one in found), NOTHING),
        [one for one in found if one.cause],
        [call for call in calls if call[0] in missing],
        by_key,
    )


def _keep_to(theirs: Sequence[Line], ours: Sequence[Line]) -> list[Line]:
    """What the bill speaks of: its days, its models, and where it tells its providers what is theirs or nobody's."""
    days, models = {line.day for line in theirs}, {_name(line.model) for line in theirs}
    providers = {line.provider for line in theirs if not line.is_empty}
    return [
        line
        for line in ours
        if line.day in days and _name(line.model) in models and ("" in providers or line.provider in ("", *providers))
    ]


def _compare_calls(
    ours: Mapping[Place, int], theirs: Mapping[Place, int], billed: Collection[Place]
) -> list[tuple[Place, int, int]]:
    """Calls on both sides, where the bill counts any: of a place that it does not have at all there are none."""
    if not theirs:
        return []
    places = sorted({*theirs, *(place for place in ours if place not in billed)})
    return [(place, ours.get(place, 0), theirs.get(place, 0)) for place in places]


def _compare(place: Place, kind: str, ours: Side, theirs: Side | None, is_missing: bool) -> Difference:
    """A side that gives no money is taken at the other's rate, one that gives no tokens at the other's tokens."""
    theirs = theirs or Side(0, NOTHING)
    tokens = ours.tokens if theirs.tokens is None else theirs.tokens
    usd = theirs.usd
    if usd is None:
        usd = (ours.rate or NOTHING) * (tokens or 0)
    bill = Side(tokens, usd)
    whole = usd - (ours.usd or NOTHING)
    rate = ours.rate if ours.rate is not None else bill.rate
    by_tokens = ((tokens or 0) - (ours.tokens or 0)) * (rate or NOTHING)
    return Difference(place, kind, ours, bill, _find_cause(ours, bill, is_missing), by_tokens, whole - by_tokens)


def _find_cause(ours: Side, bill: Side, is_missing: bool) -> str:
    if bill.tokens != ours.tokens:
        return "missing calls" if is_missing else "tokens"
    if bill.usd == ours.usd:
        return ""
    return "rate" if ours.tokens else "other charges"


def _group(lines: Iterable[Line], *, by_key: bool) -> dict[tuple[Place, str], Side]:
    """Sums by place and kind, as far as the lines say anything."""
    tokens: dict[tuple[Place, str], list[int]] = defaultdict(list)
    usd: dict[tuple[Place, str], list[Decimal]] = defaultdict(list)
    for line in lines:
        at = (_place(line, by_key=by_key), line.kind)
        if line.tokens is not None:
            tokens[at].append(line.tokens)
        if line.usd is not None:
            usd[at].append(line.usd)
    return {
        at: Side(sum(tokens[at]) if at in tokens else None, sum(usd[at], NOTHING) if at in usd else None)
        for at in {**tokens, **usd}
    }


def _count(lines: Iterable[Line], *, by_key: bool) -> dict[Place, int]:
    calls: dict[Place, int] = defaultdict(int)
    for line in lines:
        if line.calls is not None:
            calls[_place(line, by_key=by_key)] += line.calls
    return dict(calls)


def _place(line: Line, *, by_key: bool) -> Place:
    return Place(line.day, _name(line.model), line.key if by_key else "")


def _name(model: str) -> str:
    return VERSION.sub("", model)
