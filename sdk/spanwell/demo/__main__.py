"""`python -m spanwell.demo --port N`: the simulated backend, the on-call that gets webhooks, history and traffic."""

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from random import Random
from typing import Any

import uvicorn

import spanwell
from spanwell.config import Config, load_config
from spanwell.conventions import SIMULATED
from spanwell.demo.backfill import backfill
from spanwell.demo.calls import AGENT
from spanwell.demo.collector_client import CollectorClient, RefusedError, SpanSender
from spanwell.demo.config import RECEIVER, write_demo_config
from spanwell.demo.planted import SEED
from spanwell.demo.simulator import Receive, Scope, Send, Simulator
from spanwell.demo.traffic import Traffic, import_keys, wait_until_healthy
from spanwell.demo.vllm_spans import make_producer
from spanwell.demo.webhooks import WebhookReceiver
from spanwell.errors import ConfigError
from spanwell.settings import Settings

LAST_FLUSH_S = 2.0

logger = logging.getLogger("spanwell.demo")


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main() -> int:
    """Exit status: 0 after a clean stop, 2 where a setting or the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="python -m spanwell.demo", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port of the simulated backend and of the webhooks")
    port = parser.parse_args().port
    logging.basicConfig(level=logging.INFO, format="%(asctime)s demo %(levelname)s %(message)s", stream=sys.stderr)
    for name in ("httpx", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)  # a line a request otherwise
    try:
        settings = Settings.load()
        config = load_config(settings.config or write_demo_config(settings, port).path)
        secret = webhook_secret(config)
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    asyncio.run(serve(settings, config, port, secret))
    return 0


def webhook_secret(config: Config) -> str:
    """The secret of the demo's own receiver. Raises ConfigError for a file that the demo did not write."""
    for receiver in config.alerts.get("receivers") or []:
        if receiver.get("name") == RECEIVER and str(receiver.get("secret", "")).startswith("whsec_"):
            return str(receiver["secret"])
    raise ConfigError(f"{config.source}: alerts.receivers: the demo needs its own receiver {RECEIVER!r} with a secret")


async def serve(settings: Settings, config: Config, port: int, secret: str) -> None:
    """Let the demo's keys in, serve, write the history, then make traffic, until a signal comes."""
    collector = CollectorClient(settings)
    sender = SpanSender(collector, make_producer(f"vllm-{secrets.token_hex(4)}"))
    simulator = Simulator(seed=SEED, on_span=sender.put)
    receiver = WebhookReceiver(secret, settings.data / "demo" / "webhooks.jsonl")
    server = Server(
        uvicorn.Config(
            route(simulator, receiver),
            "127.0.0.1",
            port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
        )
    )
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(serve_with_keys(server, settings, config))
    working = [asyncio.create_task(sender.run()), asyncio.create_task(drive(settings, collector))]
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, stopped, *working], return_when=asyncio.FIRST_COMPLETED)
    failed = [task for task in working if task.done()]
    for task in (*working, stopped) if server.started else (*working, stopped, serving):
        task.cancel()
    server.should_exit = True
    await asyncio.gather(serving, stopped, *working, return_exceptions=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(sender.flush(), LAST_FLUSH_S)
    await collector.close()
    await asyncio.to_thread(spanwell.shutdown)
    for task in failed:
        task.result()  # raises what ended it


async def serve_with_keys(server: uvicorn.Server, settings: Settings, config: Config) -> None:
    """Serve once the proxy knows the demo's keys: the demo is healthy when what it tells a user to export works."""
    await wait_until_healthy(f"{settings.proxy_url}/health", "proxy")
    await import_keys(settings, str(config.general_settings.get("master_key") or ""))
    await server.serve()


async def drive(settings: Settings, collector: CollectorClient) -> None:
    """Write the history once the collector is there, and make traffic until cancelled."""
    await wait_until_healthy(f"{settings.collector_url}/health", "collector")
    try:
        await backfill(collector, settings.data / "demo" / "history.json")
    except RefusedError as error:
        logger.error("the history was not written: %s", error)
    os.environ["OTEL_RESOURCE_ATTRIBUTES"] = f"{SIMULATED}=true"  # the standard way to label all spans of a process
    spanwell.configure(service_name=AGENT, app=AGENT, environment="demo", endpoint=settings.collector_url)
    logger.info("traffic begins")
    await Traffic(settings, Random()).run()  # noqa: S311 - a simulation, not a secret


def route(simulator: Simulator, receiver: WebhookReceiver) -> Any:
    """One port for both: /webhooks is the on-call's, all else the simulated backend's."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/webhooks":
            await receiver(scope, receive, send)
        else:
            await simulator(scope, receive, send)

    return app


if __name__ == "__main__":
    sys.exit(main())
