"""Settings of every process: one frozen class, each field from `SPANWELL_<NAME>` or its default."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from spanwell.errors import ConfigError
from spanwell.loopback import is_loopback
from spanwell.masking import Level

PREFIX = "SPANWELL_"

Durability = Literal["strict", "interval"]
Switch = Literal["on", "off"]
Sealing = Literal["off", "project", "user"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the processes listen, where data lives, and how large the queues may grow."""

    data: Path = field(default=Path(".spanwell"), metadata={"help": "Directory that holds everything Spanwell stores."})
    config: Path | None = field(default=None, metadata={"help": "The spanwell.yaml to read; unset means the demo."})
    host: str = field(
        default="127.0.0.1",
        metadata={"help": "Address every process binds to. Anything but loopback needs SPANWELL_API_TOKEN."},
    )
    proxy_port: int = field(default=4000, metadata={"help": "Port of the gateway: base_url is http://HOST:PORT/v1."})
    collector_port: int = field(default=4318, metadata={"help": "Port of OTLP/HTTP and of the query API."})
    grpc_port: int = field(default=4317, metadata={"help": "Port of OTLP/gRPC."})
    sql_port: int = field(
        default=8123, metadata={"help": "Port of the read-only SQL door; ClickHouse clients connect here."}
    )
    dashboard_port: int = field(default=8501, metadata={"help": "Port of the dashboard."})
    clickhouse_dsn: str = field(
        default="", repr=False, metadata={"help": "A ClickHouse server to store into; empty means the embedded engine."}
    )
    cluster: str = field(
        default="",
        metadata={"help": "Name of the ClickHouse cluster behind that server; empty means it is one server."},
    )
    api_token: str = field(
        default="", repr=False, metadata={"help": "Bearer token that the collector and the SQL door ask for."}
    )
    backup_dir: Path | None = field(
        default=None, metadata={"help": "The directory that backups go to; unset means SPANWELL_DATA/backups."}
    )
    project: str = field(default="default", metadata={"help": "Project that spans belong to when they name none."})
    spool_max_mb: int = field(
        default=512, metadata={"help": "Bound of each spool on disk; beyond it senders are told to wait."}
    )
    flush_ms: int = field(
        default=400,
        metadata={"help": "How long a span waits for others before it is inserted; under load up to five times that."},
    )
    durability: Durability = field(
        default="strict",
        metadata={
            "help": "When a batch is acknowledged: `strict` when it is synced to the disk, `interval` when it is "
            "written, to be synced within a second."
        },
    )
    proxy_workers: int = field(default=1, metadata={"help": "Gateway processes that share one port."})
    redis_url: str = field(
        default="",
        repr=False,
        metadata={"help": "Redis for the exact cache, when several hosts share one; empty means SQLite."},
    )
    telemetry: Switch = field(
        default="on",
        metadata={"help": "Spans of the gateway's calls: `off` sends none and keeps none, and counts metrics alone."},
    )
    capture_content: bool = field(default=True, metadata={"help": "Store prompts and outputs beside the spans."})
    mask: Level = field(
        default="pii",
        metadata={
            "help": "What the gateway takes out of texts before they are stored: `pii` is secrets and what names a "
            "person, `secrets` is keys and tokens alone, `off` is nothing."
        },
    )
    seal_texts: Sealing = field(
        default="off",
        metadata={
            "help": "Encrypt the texts that the gateway stores: `project` with one key, `user` with a key for each "
            "user, which can be erased."
        },
    )
    key_file: Path | None = field(
        default=None,
        metadata={"help": "The project's key, for texts and placeholders; unset means SPANWELL_DATA/keys/project.key."},
    )

    @property
    def collector_url(self) -> str:
        return _url(self.host, self.collector_port)

    @property
    def proxy_url(self) -> str:
        return _url(self.host, self.proxy_port)

    @property
    def sql_url(self) -> str:
        return _url(self.host, self.sql_port)

    @property
    def dashboard_url(self) -> str:
        return _url(self.host, self.dashboard_port)

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read `SPANWELL_*`; an unknown or ill-typed variable raises ConfigError, never passes in silence."""
        hints = get_type_hints(cls)
        known = {PREFIX + f.name.upper(): f.name for f in fields(cls)}
        unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
        if unknown:
            raise ConfigError(f"unknown variable {unknown[0]}; known are {', '.join(sorted(known))}")
        values = {
            name: _parse(variable, environ[variable], hints[name])
            for variable, name in known.items()
            if environ.get(variable)
        }
        settings = cls(**values)
        if not is_loopback(settings.host) and not settings.api_token:
            raise ConfigError(f"SPANWELL_HOST={settings.host} is reachable from outside: set SPANWELL_API_TOKEN first")
        return settings

    def environ(self) -> dict[str, str]:
        """The variables that make `load` return this object again; how the supervisor configures its children."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {PREFIX + name.upper(): str(value) for name, value in values.items() if value not in (None, "")}


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _parse(variable: str, text: str, kind: Any) -> Any:
    if kind is bool:
        if text.lower() not in {"true", "false", "1", "0"}:
            raise ConfigError(f"{variable}={text!r}: write true or false")
        return text.lower() in {"true", "1"}
    if kind is int:
        if not text.isascii() or not text.isdigit():
            raise ConfigError(f"{variable}={text!r}: write a whole number")
        if variable.endswith("_PORT") and not 0 < int(text) < 65536:
            raise ConfigError(f"{variable}={text}: write a port between 1 and 65535")
        return int(text)
    if get_origin(kind) is Literal and text not in get_args(kind):
        raise ConfigError(f"{variable}={text!r}: write {' or '.join(get_args(kind))}")
    if kind in (Path, Path | None):
        return Path(text)
    return text
