"""Wires the worker: settings and sections in, a list of tasks out; runs them until a signal asks to stop."""

import asyncio
import secrets
import signal
import sqlite3
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx

from spanwell.settings import Settings
from spanwell_collector.worker import client, gateway
from spanwell_collector.worker.client import CollectorClient
from spanwell_collector.worker.database import open_database
from spanwell_collector.worker.delivery import Post, report_events, send_due, webhook_client
from spanwell_collector.worker.drift_checks import DriftHistory, DriftWatch
from spanwell_collector.worker.evaluation import Watch, evaluate
from spanwell_collector.worker.judge import Bench, judge_once
from spanwell_collector.worker.schedule import Task, run_forever, utc_now
from spanwell_collector.worker.scrape import EVERY_SECONDS, Scraper, backend_client
from spanwell_collector.worker.sections import AlertsSection, Backend, DriftSection, Judge, WorkerConfig

HEARTBEAT_SECONDS = 2.0
SEND_SECONDS = 1.0
REPORT_SECONDS = 1.0
HISTORY_SECONDS = 5.0
NONCE_BYTES = 9
KEEPALIVE_SECONDS = 2.0  # less than servers keep an idle connection, or one is used just as it is closed


async def run(settings: Settings, config: WorkerConfig) -> None:
    """Run every job until SIGTERM or SIGINT. A job that fails in an unknown way ends the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        collector_http = await stack.enter_async_context(collector_client(settings))
        proxy = await stack.enter_async_context(proxy_client(settings))
        webhooks = await stack.enter_async_context(webhook_client())
        backends = await stack.enter_async_context(backend_client())
        database = open_database(settings.data / "worker" / "state.db")
        stack.callback(database.close)
        collector = CollectorClient(collector_http, settings.project)
        tasks = [
            Task("heartbeat", HEARTBEAT_SECONDS, partial(_beat, settings.data / "worker" / "heartbeat")),
            *judge_tasks(config.judges, collector, proxy, database),
            *drift_tasks(config.drift, collector),
            *alert_tasks(config.alerts, collector, webhooks, database, settings),
            *scrape_tasks(config.backends, collector, backends),
        ]
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(run_forever(task), name=task.name) for task in tasks]
            await stop.wait()
            for task in running:
                task.cancel()


def collector_client(settings: Settings) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {settings.api_token}"} if settings.api_token else {}
    return httpx.AsyncClient(
        base_url=settings.collector_url,
        headers=headers,
        trust_env=False,
        timeout=client.TIMEOUT_SECONDS,
        limits=httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS),
    )


def proxy_client(settings: Settings) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=settings.proxy_url,
        trust_env=False,
        timeout=gateway.TIMEOUT_SECONDS,
        limits=httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS),
    )


def judge_tasks(
    judges: list[Judge], collector: CollectorClient, proxy: httpx.AsyncClient, database: sqlite3.Connection
) -> list[Task]:
    bench = Bench(collector, proxy, database, utc_now, partial(secrets.token_hex, NONCE_BYTES))
    return [
        Task(f"judge {judge.section.name}", judge.section.every_seconds, partial(judge_once, judge, bench))
        for judge in judges
    ]


def drift_tasks(section: DriftSection, collector: CollectorClient) -> list[Task]:
    if not section.enabled:
        return []
    return [
        Task("drift", section.every_seconds, DriftWatch(collector, section, utc_now).check),
        Task("drift history", HISTORY_SECONDS, DriftHistory(collector, section, utc_now).check),
    ]


def alert_tasks(
    section: AlertsSection,
    collector: CollectorClient,
    webhooks: httpx.AsyncClient,
    database: sqlite3.Connection,
    settings: Settings,
) -> list[Task]:
    """One task a rule, one that sends, one that reports; messages of earlier runs go out though no rule is left."""
    watch = Watch(collector, database, utc_now, f"http://{settings.host}:{settings.dashboard_port}/alerts")
    receivers = {receiver.name: receiver for receiver in section.receivers}
    post = Post(webhooks, receivers, database, utc_now)
    return [
        *(Task(f"alert {rule.name}", rule.every_seconds, partial(evaluate, rule, watch)) for rule in section.rules),
        Task("webhooks", SEND_SECONDS, partial(send_due, post)),
        Task("alert events", REPORT_SECONDS, partial(report_events, collector, database, utc_now)),
    ]


def scrape_tasks(backends: list[Backend], collector: CollectorClient, http: httpx.AsyncClient) -> list[Task]:
    return [
        Task(f"measurements of {backend.instance}", EVERY_SECONDS, Scraper(backend, http, collector, utc_now).scrape)
        for backend in backends
    ]


async def _beat(heartbeat: Path) -> None:
    await asyncio.to_thread(heartbeat.touch)
