"""What each emitter does not put on the wire, and what is odd about it; found by looking (`look.py`)."""

from typing import Any

USER, SESSION = "user-7", "session-42"

MISSING: dict[str, dict[str, list[str]]] = {}
NOTES: dict[str, list[str]] = {}


def with_missing(fixture: str, call: dict[str, Any]) -> dict[str, Any]:
    """A call of the backend's log as the truth file tells it."""
    absent = MISSING.get(fixture, {})
    missing = sorted({*absent.get("*", []), *absent.get(call["label"], [])})
    told = {**call, "user_id": USER, "session_id": SESSION}
    told["error_type_present"] = call["status"] == "error" and "error_type" not in missing
    return {**told, "missing": missing}
