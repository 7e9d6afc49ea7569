import json
import sqlite3
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanwell_collector.worker import outbox
from spanwell_collector.worker.alerts import OK, Observation, State, fingerprint_of, labels_of, step
from spanwell_collector.worker.database import SCHEMA
from spanwell_collector.worker.sections import Rule
from spanwell_collector.worker.webhook import body_of, event_of

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RULE = Rule(name="slow", metric="p95_ms", op=">", threshold=2000, receiver="oncall")
LABELS = labels_of(RULE, None)
FINGERPRINT = fingerprint_of(LABELS)


def observe(database: sqlite3.Connection, value: float, second: float, rule: Rule = RULE) -> None:
    now = START + timedelta(seconds=second)
    state, transition = step(outbox.load_state(database, FINGERPRINT), Observation(value, 50), rule, now)
    if transition is None:
        outbox.save_state(database, FINGERPRINT, state)
        return
    event = event_of(transition, rule, LABELS)
    outbox.save_transition(database, state, event, body_of(event, ""))


def test_a_state_survives_to_the_microsecond(database: sqlite3.Connection) -> None:
    state = State("pending", START + timedelta(microseconds=123457))

    outbox.save_state(database, FINGERPRINT, state)

    assert outbox.load_state(database, FINGERPRINT) == state
    assert outbox.load_state(database, "unheard-of") == OK


def test_a_transition_leaves_its_state_and_a_message(database: sqlite3.Connection) -> None:
    observe(database, 2500, 0)

    (message,) = outbox.due(database, START)
    assert outbox.load_state(database, FINGERPRINT) == State("firing", START)
    assert json.loads(message.body)["status"] == "firing"


def test_neither_is_kept_when_the_message_cannot_be_written(database: sqlite3.Connection) -> None:
    database.execute("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END")

    with pytest.raises(sqlite3.IntegrityError, match="disk full"):
        observe(database, 2500, 0)

    assert outbox.load_state(database, FINGERPRINT) == OK


def test_resolved_waits_for_firing(database: sqlite3.Connection) -> None:
    observe(database, 2500, 0)
    observe(database, 100, 1)
    (firing,) = outbox.due(database, START + timedelta(hours=1))

    outbox.postpone(database, firing.message_id, START + timedelta(hours=2))
    assert outbox.due(database, START + timedelta(hours=1)) == []

    outbox.settle(database, firing.message_id, "delivered")
    (resolved,) = outbox.due(database, START + timedelta(hours=1))
    assert json.loads(resolved.body)["status"] == "resolved"


def test_an_event_is_reported_when_it_happens_and_again_when_its_delivery_is_known(
    database: sqlite3.Connection,
) -> None:
    observe(database, 2500, 0)
    ((message_id, event),) = outbox.unreported(database)
    assert event["delivery"] == "pending"
    outbox.mark_reported(database, message_id, "pending", START)
    assert outbox.unreported(database) == []

    outbox.settle(database, message_id, "delivered")

    ((_, event),) = outbox.unreported(database)
    assert event["delivery"] == "delivered"
    assert event["ts"] == START.isoformat()


def test_a_rule_without_a_receiver_sends_nothing_but_is_reported(database: sqlite3.Connection) -> None:
    observe(database, 2500, 0, RULE.model_copy(update={"receiver": None}))

    assert outbox.due(database, START) == []
    assert outbox.unreported(database)[0][1]["delivery"] == "none"


def test_what_is_settled_and_old_is_forgotten(database: sqlite3.Connection) -> None:
    observe(database, 2500, 0)
    ((message_id, _),) = outbox.unreported(database)
    outbox.settle(database, message_id, "failed")

    outbox.mark_reported(database, message_id, "failed", START + outbox.KEPT + timedelta(days=1))

    assert database.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


@given(st.lists(st.tuples(st.sampled_from([100.0, 2500.0]), st.sampled_from(["none", "before", "after"])), max_size=30))
def test_whenever_the_worker_dies_each_transition_reaches_the_receiver_in_order(
    story: list[tuple[float, str]],
) -> None:
    """`before`: it dies between the transition and the send; `after`: between the send and noting that it was sent."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.executescript(SCHEMA)
    received: list[str] = []
    for second, (value, death) in enumerate(story):
        observe(database, value, second)
        if death == "before":
            continue
        for message in outbox.due(database, START + timedelta(seconds=second)):
            received.append(message.message_id)
            if death != "after":
                outbox.settle(database, message.message_id, "delivered")
    while messages := outbox.due(database, START + timedelta(days=1)):
        for message in messages:
            received.append(message.message_id)
            outbox.settle(database, message.message_id, "delivered")

    sent = [row[0] for row in database.execute("SELECT message_id FROM outbox ORDER BY seq")]
    values = [100.0, *(value for value, _ in story)]
    changes = sum(before != after for before, after in pairwise(values))
    database.close()
    assert list(dict.fromkeys(received)) == sent
    assert len(sent) == changes
