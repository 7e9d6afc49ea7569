"""`python -m spanwell.cli`, for where the `spanwell` script is not on the path."""

import sys

from spanwell.cli.main import main

sys.exit(main())
