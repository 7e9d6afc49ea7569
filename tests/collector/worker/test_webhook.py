import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from spanwell_collector.worker.alerts import Outcome, Transition
from spanwell_collector.worker.schedule import utc_now
from spanwell_collector.worker.sections import Rule
from spanwell_collector.worker.webhook import (
    NOT_ENDED,
    RETRY_SECONDS,
    AlertEvent,
    body_of,
    event_of,
    next_delay_seconds,
    signed_headers,
    verdict_of,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RULE = Rule(name="slow", metric="p95_ms", op=">", threshold=2000, severity="page", receiver="oncall", by="model")
LABELS = {"alertname": "slow", "severity": "page", "model": "llama"}


def event(outcome: Outcome = "firing", value: float = 2345.6, labels: dict[str, str] = LABELS) -> AlertEvent:
    return event_of(Transition(outcome, started=NOW - timedelta(minutes=1), at=NOW, value=value), RULE, labels)


def test_a_receivers_library_accepts_the_signature() -> None:
    body = body_of(event(), "http://127.0.0.1:8501")

    headers = signed_headers(SECRET, "msg_1", body, utc_now())

    assert Webhook(SECRET).verify(body, headers) == json.loads(body)


def test_a_changed_body_does_not_verify() -> None:
    headers = signed_headers(SECRET, "msg_1", b"{}", utc_now())

    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(b'{"a": 1}', headers)


def test_the_body_is_alertmanagers() -> None:
    body = json.loads(body_of(event(), "http://127.0.0.1:8501"))

    alert = body["alerts"][0]
    assert body["version"] == "4"
    assert body["status"] == alert["status"] == "firing"
    assert body["receiver"] == "oncall"
    assert body["groupKey"] == '{}:{alertname="slow"}'
    assert body["commonLabels"] == alert["labels"] == LABELS
    assert alert["startsAt"] == "2026-11-21T11:59:00.000Z"
    assert alert["endsAt"] == NOT_ENDED
    assert alert["annotations"]["summary"] == "p95_ms 2345.6 is > 2000 over 5 min (model=llama)"
    assert len(alert["fingerprint"]) == 16


def test_a_resolved_alert_says_when_it_ended() -> None:
    alert = json.loads(body_of(event("resolved", 900), ""))["alerts"][0]

    assert alert["endsAt"] == "2026-11-21T12:00:00.000Z"
    assert alert["annotations"]["summary"] == "p95_ms 900 is no longer > 2000 over 5 min (model=llama)"


def test_a_message_keeps_its_id_and_firing_and_resolved_have_their_own() -> None:
    assert event().message_id == event().message_id
    assert event("firing").message_id != event("resolved").message_id


def test_an_endless_label_is_cut_but_still_tells_alerts_apart() -> None:
    one, other = (event(labels={**LABELS, "model": "x" * 300 + ending}) for ending in "ab")

    assert len(one.labels["model"]) == 200
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (301, "refused"),
        (307, "refused"),
        (400, "refused"),
        (401, "refused"),
        (404, "refused"),
        (408, "retry"),
        (410, "gone"),
        (429, "retry"),
        (500, "retry"),
        (503, "retry"),
    ],
)
def test_a_status_is_judged(status: int, verdict: str) -> None:
    assert verdict_of(status) == verdict


def test_the_wait_grows_and_ends() -> None:
    waits = [next_delay_seconds(failures, 0, 0.5) for failures in range(1, 8)]

    assert waits == [*RETRY_SECONDS, None]


def test_jitter_stays_within_a_fifth() -> None:
    assert next_delay_seconds(2, 0, 0.0) == pytest.approx(24)
    assert next_delay_seconds(2, 0, 1.0) == pytest.approx(36)


def test_a_receiver_may_ask_for_more_time_but_not_for_all_of_it() -> None:
    assert next_delay_seconds(1, 77, 0.5) == 77
    assert next_delay_seconds(1, 10**9, 0.5) == RETRY_SECONDS[-1]
