"""`python -m spanwell_collector`: the collector, configured by SPANWELL_* alone. `--check` validates and exits."""

import argparse
import logging
import sys

from spanwell.config import load_config
from spanwell.errors import ConfigError, SpanwellError
from spanwell.settings import Settings
from spanwell_collector.lifecycle.retention import read_retention
from spanwell_collector.prices.overlay import read_words
from spanwell_collector.prices.pools import read_pools
from spanwell_collector.server import serve


def main() -> int:
    """Exit codes: 0 after a clean stop, 1 when the store cannot be opened, 2 for a wrong setting or a taken port."""
    parser = argparse.ArgumentParser(prog="spanwell_collector", description=__doc__)
    parser.add_argument("--check", action="store_true", help="validate the settings and exit")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = Settings.load()
        config = load_config(settings.config)
        read_retention(config.retention)
        read_words(config, ())
        read_pools(config, settings.project)
        if arguments.check:
            sys.stdout.write("ok\n")
        else:
            serve(settings)
    except SpanwellError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
