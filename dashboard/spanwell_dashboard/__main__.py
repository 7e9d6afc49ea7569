"""`python -m spanwell_dashboard`: read the settings, then serve until SIGTERM or SIGINT."""

import signal
import sys

from spanwell.errors import ConfigError
from spanwell.settings import Settings
from spanwell_dashboard.server import serve


def main() -> int:
    try:
        settings = Settings.load()
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    # uvicorn shuts down by itself, then raises the signal again for whoever was there before it: that is us.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    serve(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
