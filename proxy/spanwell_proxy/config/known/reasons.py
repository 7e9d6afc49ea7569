"""What is said of keys that mean nothing here, where several share a reason."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Keys(NamedTuple):
    """Of one section. `named` are patterns with the reason, the first that fits counts."""

    honoured: frozenset[str]
    named: Mapping[str, str]


ACCOUNTS: Final = "keys, teams, users and budgets are made by `spanwell keys` and the section `limits`"
ALERTS: Final = "write the section `alerts`"
CACHE: Final = "write the section `cache`"
CALLBACKS: Final = "every call is a span already; send them on over OTLP"
CLIENTS: Final = "what a client may send is fixed: it never steers where a call goes"
DATABASE: Final = "there is no database of that kind here: state is in SQLite, or in Redis"
FILES: Final = "files and batches are the section `batches`"
GUARDS: Final = "write the section `guards`"
HEALTH: Final = "write the section `backends`, which has health checks"
INTERNAL: Final = "LiteLLM's own working, which is not used here"
LICENCE: Final = "there is nothing here to license"
LIMITS: Final = "write the section `limits`"
LOGIN: Final = "the dashboard is a service of its own"
LOGS: Final = "spans are the log, and `retention` says how long they stay"
MCP: Final = "this gateway serves models, not tools"
METRICS: Final = "/metrics has one set of labels, bounded by the configuration"
PROMPTS: Final = "prompts are the application's; name and version of one travel in headers"
PROVIDER: Final = "this provider is asked as it is; the key means something to another one"
ROUTERS: Final = "write the section `routing`, which has strategies of that kind"
SECRETS: Final = "write os.environ/NAME, and let your secret manager set the environment"
SERVING: Final = "SPANWELL_* variables say how the processes serve"
STEERED: Final = "what a deployment is asked with is written in its own entry"
TLS: Final = "certificates are always checked, against the system's authorities"
VECTORS: Final = "this gateway serves models, not stores of vectors"
