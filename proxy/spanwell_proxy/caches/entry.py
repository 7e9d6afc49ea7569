"""An answer as it is kept: what is known of it on the first line, in JSON, and its bytes after that."""

from decimal import Decimal
from typing import Any, Final, NamedTuple

import orjson

from spanwell.pricing import write_usd
from spanwell_proxy.call import Call

LONGEST_ANSWER_BYTES: Final = 1024 * 1024


class Entry(NamedTuple):
    """A stored answer: who gave it, when, for what, and what that took. Times in seconds since 1970."""

    deployment: str
    served: str  # the model name that deployment stands under: a fallback's, where one answered
    model: str  # as it was asked for
    key_id: str
    trace_id: str
    asked_at: float  # one that was asked for before a purge does not count after it
    stored_at: float
    expires_at: float
    took_ms: float
    cost_usd: Decimal | None
    body: bytes


def encode(entry: Entry) -> bytes:
    facts = {
        "deployment": entry.deployment,
        "served": entry.served,
        "model": entry.model,
        "key_id": entry.key_id,
        "trace_id": entry.trace_id,
        "asked_at": entry.asked_at,
        "stored_at": entry.stored_at,
        "expires_at": entry.expires_at,
        "took_ms": entry.took_ms,
        "cost_usd": None if entry.cost_usd is None else write_usd(entry.cost_usd),
    }
    return orjson.dumps(facts) + b"\n" + entry.body


def decode(stored: bytes) -> Entry | None:
    """None for what another version of this has written: hosts are not updated at once."""
    head, _, body = stored.partition(b"\n")
    try:
        facts = orjson.loads(head)
        cost = facts.pop("cost_usd")
        return Entry(**facts, cost_usd=None if cost is None else Decimal(cost), body=body)
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        return None


def make_entry(call: Call, now: float, ttl_s: float) -> Entry | None:
    """What to keep of a finished call; None where its answer is not whole, or too large."""
    answer = _answer_of(call)
    if call.failure or not answer or not call.deployment or call.usage_estimated:
        return None
    if not call.api.whole_reasons.issuperset(call.api.reasons(answer)):
        return None
    body = call.answer or orjson.dumps(answer)
    if len(body) > LONGEST_ANSWER_BYTES:
        return None
    return Entry(
        deployment=call.deployment.id,
        served=call.deployment.model_name,
        model=call.model,
        key_id=call.caller.key_id if call.caller else "",
        trace_id=call.trace_id.hex(),
        asked_at=call.started_ns / 1e9,
        stored_at=now,
        expires_at=now + ttl_s,
        took_ms=round((call.ended - call.started) * 1000, 3),
        cost_usd=call.cost_usd,
        body=body,
    )


def _answer_of(call: Call) -> dict[str, Any] | None:
    if call.reader:
        return call.reader.document() if call.reader.is_replayable() else None
    return call.document
