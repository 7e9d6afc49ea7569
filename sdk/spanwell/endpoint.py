"""Where telemetry goes, from OpenTelemetry's standard environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from spanwell.errors import ConfigError

DEFAULT_URL = "http://127.0.0.1:4318"
TRACES_PATH = "/v1/traces"
SCORES_PATH = "/api/v1/scores"
PREFIX = "OTEL_EXPORTER_OTLP_"
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Endpoint:
    """Addresses, headers and transport of one collector."""

    traces_url: str
    scores_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # one of them is a token
    timeout_s: float = TIMEOUT_S
    is_gzip: bool = False
    certificate: str = ""
    client_certificate: str = ""
    client_key: str = ""


def read_endpoint(url: str | None, token: str | None, environ: Mapping[str, str]) -> Endpoint:
    """The collector at `url`, else the one that `OTEL_EXPORTER_OTLP_*` names, else the local one.

    A variable for traces alone (`OTEL_EXPORTER_OTLP_TRACES_...`) wins over the one for all signals, and its
    endpoint is used as it stands; the general endpoint gets `/v1/traces` appended. ConfigError if not http(s).
    """
    traces_url = _traces_url(url, environ)
    if urlsplit(traces_url).scheme not in ("http", "https") or not urlsplit(traces_url).hostname:
        raise ConfigError(f"endpoint {traces_url!r}: write http://HOST:PORT or https://HOST:PORT")
    headers = parse_headers(_variable("HEADERS", environ))
    if token:
        headers["authorization"] = f"Bearer {token}"
    return Endpoint(
        traces_url=traces_url,
        scores_url=traces_url.removesuffix(TRACES_PATH) + SCORES_PATH,
        headers=headers,
        timeout_s=_seconds(_variable("TIMEOUT", environ)),
        is_gzip=_variable("COMPRESSION", environ).strip().lower() == "gzip",
        certificate=_variable("CERTIFICATE", environ),
        client_certificate=_variable("CLIENT_CERTIFICATE", environ),
        client_key=_variable("CLIENT_KEY", environ),
    )


def parse_headers(text: str) -> dict[str, str]:
    """`name=value,name=value` with percent-encoded values; what has no name or no `=` is left out."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name.strip().lower(): unquote(value.strip()) for name, equals, value in pairs if equals and name.strip()}


def _traces_url(url: str | None, environ: Mapping[str, str]) -> str:
    if url is None and (exact := environ.get(PREFIX + "TRACES_ENDPOINT")):
        return exact
    return (url or environ.get(PREFIX + "ENDPOINT") or DEFAULT_URL).rstrip("/") + TRACES_PATH


def _variable(name: str, environ: Mapping[str, str]) -> str:
    return environ.get(f"{PREFIX}TRACES_{name}") or environ.get(PREFIX + name) or ""


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return TIMEOUT_S
    return seconds if 0 < seconds < 3600 else TIMEOUT_S
