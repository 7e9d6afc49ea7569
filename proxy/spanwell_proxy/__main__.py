"""`python -m spanwell_proxy`: the gateway, in as many processes as SPANWELL_PROXY_WORKERS says."""

import argparse
import logging
import sys

from spanwell.config import load_config
from spanwell.errors import ConfigError
from spanwell.pricing import load_price_table
from spanwell.settings import Settings, is_loopback
from spanwell_proxy.routes import Routes, read_routes
from spanwell_proxy.workers import run_worker, run_workers

logger = logging.getLogger(__name__)


def main() -> int:
    """Exit status: 0 after a clean shutdown, 2 where a setting or the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="python -m spanwell_proxy", description="The gateway of Spanwell.")
    parser.add_argument("--check", action="store_true", help="validate settings and configuration, start nothing")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s proxy %(levelname)s %(message)s", stream=sys.stderr)
    try:
        settings = Settings.load()
        routes = load_routes(settings)
        if arguments.check:
            sys.stdout.write("ok\n")
            return 0
        if arguments.worker is not None:
            return run_worker(settings, routes, arguments.worker)
        for key in routes.ignored:
            logger.warning("%s has no meaning here", key)
        return run_workers(settings, routes)
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


def load_routes(settings: Settings) -> Routes:
    """Raises ConfigError; a proxy that others can reach must ask for a key."""
    routes = read_routes(load_config(settings.config), load_price_table())
    if not is_loopback(settings.host) and not routes.master_key:
        raise ConfigError(f"SPANWELL_HOST={settings.host} is reachable from outside: set general_settings.master_key")
    return routes


if __name__ == "__main__":
    sys.exit(main())
