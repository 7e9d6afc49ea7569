"""Evaluates one alert rule: asks the collector, steps each group's state, and saves states with their messages."""

import logging
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from spanwell_collector.worker import outbox
from spanwell_collector.worker.alerts import Observation, fingerprint_of, labels_of, step
from spanwell_collector.worker.client import CollectorClient, Span
from spanwell_collector.worker.schedule import Clock
from spanwell_collector.worker.sections import DRIFT_METRIC, Rule
from spanwell_collector.worker.webhook import body_of, event_of

LAG = timedelta(seconds=3)  # spans reach the store that much after they began, so the newest seconds are not asked for

logger = logging.getLogger(__name__)

Observed = dict[str | None, Observation]  # by group; None where a rule has no groups


@dataclass(frozen=True)
class Watch:
    """What rules are evaluated with; `external_url` is where a message leads its reader."""

    collector: CollectorClient
    database: sqlite3.Connection
    clock: Clock
    external_url: str


async def evaluate(rule: Rule, watch: Watch) -> None:
    """One evaluation of a rule. A group that is not seen keeps its state: silence is no recovery."""
    now = watch.clock()
    for group, observation in (await _observe(rule, watch.collector, now)).items():
        _apply(rule, group, observation, watch, now)


async def _observe(rule: Rule, collector: CollectorClient, now: datetime) -> Observed:
    end = now - LAG
    span = Span(end - timedelta(minutes=rule.window_minutes), end)
    if rule.metric == DRIFT_METRIC:
        checks = await collector.drift_checks(Span(span.start, now))
        newest_last = sorted(checks, key=lambda check: check.ts)
        return {check.segment: Observation(check.p_value, check.sessions_current) for check in newest_last}
    measured = await collector.measure(rule.metric, span, rule.filters, rule.by)
    return {group.group: Observation(group.value, group.requests) for group in measured}


def _apply(rule: Rule, group: str | None, observation: Observation, watch: Watch, now: datetime) -> None:
    labels = labels_of(rule, group)
    fingerprint = fingerprint_of(labels)
    before = outbox.load_state(watch.database, fingerprint)
    after, transition = step(before, observation, rule, now)
    if transition is None:
        if after != before:
            outbox.save_state(watch.database, fingerprint, after)
        return
    event = event_of(transition, rule, labels)
    outbox.save_transition(watch.database, after, event, body_of(event, watch.external_url))
    logger.info("alert %s %s: %s", rule.name, event.state, event.summary)
