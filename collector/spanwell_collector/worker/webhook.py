"""What a webhook says, how it is signed and when it is tried again: Alertmanager's body, Standard Webhooks' headers.

Pure; delivery.py sends.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from spanwell_collector.worker.alerts import COMPARE, Outcome, Transition, fingerprint_of
from spanwell_collector.worker.sections import Rule

RETRY_SECONDS: Final = (5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0)  # after the first failure, the second, ...
JITTER: Final = 0.2
LABEL_CHARS: Final = 200  # model names and the like are written by anyone
SUMMARY_CHARS: Final = 2000
NOT_ENDED: Final = "0001-01-01T00:00:00Z"  # Alertmanager's way to say that an alert still fires

Verdict = Literal["delivered", "retry", "gone", "refused"]


@dataclass(frozen=True)
class AlertEvent:
    """One transition as it is stored and sent."""

    ts: datetime
    rule: str
    fingerprint: str
    state: Outcome
    severity: str
    value: float
    threshold: float
    labels: dict[str, str]
    summary: str
    receiver: str
    started: datetime

    @property
    def message_id(self) -> str:
        """The same over every retry and restart: a receiver drops what it has seen."""
        identity = f"{self.fingerprint}/{self.state}/{self.ts.isoformat()}"
        return f"msg_{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


def event_of(transition: Transition, rule: Rule, labels: Mapping[str, str]) -> AlertEvent:
    """The event of one transition of one rule."""
    shown = {name: value[:LABEL_CHARS] for name, value in labels.items()}
    return AlertEvent(
        ts=transition.at,
        rule=rule.name,
        fingerprint=fingerprint_of(labels),
        state=transition.outcome,
        severity=rule.severity,
        value=transition.value,
        threshold=rule.threshold,
        labels=shown,
        summary=_summary(transition, rule, shown)[:SUMMARY_CHARS],
        receiver=rule.receiver or "",
        started=transition.started,
    )


def body_of(event: AlertEvent, external_url: str) -> bytes:
    """Alertmanager's webhook body, version 4, with this one alert in it."""
    annotations = {"summary": event.summary, "value": f"{event.value:g}", "threshold": f"{event.threshold:g}"}
    alert = {
        "status": event.state,
        "labels": event.labels,
        "annotations": annotations,
        "startsAt": _rfc3339(event.started),
        "endsAt": _rfc3339(event.ts) if event.state == "resolved" else NOT_ENDED,
        "generatorURL": external_url,
        "fingerprint": event.fingerprint,
    }
    body: dict[str, Any] = {
        "version": "4",
        "groupKey": f"{{}}:{{alertname={json.dumps(event.rule)}}}",
        "truncatedAlerts": 0,
        "status": event.state,
        "receiver": event.receiver,
        "groupLabels": {"alertname": event.rule},
        "commonLabels": event.labels,
        "commonAnnotations": annotations,
        "externalURL": external_url,
        "alerts": [alert],
    }
    return json.dumps(body).encode()


def signed_headers(secret: str, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """Standard Webhooks' headers; `secret` is whsec_ and base64. The timestamp is this attempt's."""
    timestamp = str(int(now.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "content-type": "application/json",
        "user-agent": "spanwell",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


def verdict_of(status: int) -> Verdict:
    """What a receiver's HTTP status means: a redirect is refused, 410 asks never to be called again."""
    if 200 <= status < 300:
        return "delivered"
    if status == 410:
        return "gone"
    return "retry" if status in (408, 429) or status >= 500 else "refused"


def next_delay_seconds(failures: int, asked_seconds: float, chance: float) -> float | None:
    """Wait before the next try after `failures` failed ones, or None to give up. `chance` in 0..1 is the jitter."""
    if failures > len(RETRY_SECONDS):
        return None
    planned = RETRY_SECONDS[failures - 1] * (1 - JITTER + 2 * JITTER * chance)
    return max(planned, min(asked_seconds, RETRY_SECONDS[-1]))


def _summary(transition: Transition, rule: Rule, labels: Mapping[str, str]) -> str:
    where = ", ".join(f"{key}={value}" for key, value in labels.items() if key not in ("alertname", "severity"))
    breached = COMPARE[rule.op](transition.value, rule.threshold)
    relation = f"is {rule.op} {rule.threshold:g}" if breached else f"is no longer {rule.op} {rule.threshold:g}"
    return f"{rule.metric} {transition.value:g} {relation} over {rule.window_minutes:g} min" + (where and f" ({where})")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
