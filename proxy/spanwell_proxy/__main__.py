"""`python -m spanwell_proxy`: the gateway, in as many processes as SPANWELL_PROXY_WORKERS says."""

import argparse
import logging
import sys

from spanwell.errors import ConfigError
from spanwell.settings import Settings
from spanwell_proxy.plan import read_plan
from spanwell_proxy.serving.workers import run_worker, run_workers

logger = logging.getLogger(__name__)


def main() -> int:
    """Exit status: 0 after a clean shutdown, 2 where a setting or the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="python -m spanwell_proxy", description="The gateway of Spanwell.")
    parser.add_argument("--check", action="store_true", help="validate settings and configuration, start nothing")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s proxy %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # five lines of its life otherwise
    try:
        plan = read_plan(Settings.load())
        if arguments.check:
            sys.stdout.write("ok\n")
            return 0
        if arguments.worker is not None:
            return run_worker(plan, arguments.worker, arguments.parent)
        for key, reason in plan.routes.ignored:
            logger.warning("%s has no meaning here: %s", key, reason or "it is not known")
        return run_workers(plan)
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
