"""What each role may do, and what each request needs. Decisions alone: who asks is found out in access.gate."""

from typing import Final, Literal, NamedTuple, get_args

Role = Literal["admin", "editor", "viewer", "ingest"]
Right = Literal["ingest", "read", "write", "admin"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
RIGHTS: Final[dict[Role, frozenset[Right]]] = {
    "ingest": frozenset({"ingest"}),
    "viewer": frozenset({"read"}),
    "editor": frozenset({"read", "write"}),
    "admin": frozenset({"ingest", "read", "write", "admin"}),
}
OPEN_PATHS: Final = frozenset({"/health", "/ping"})  # for everybody
INGEST_PATHS: Final = ("/v1/", "/api/public/otel/")
WRITE_PATHS: Final = frozenset({"/api/v1/scores", "/api/v1/drift", "/api/v1/alerts/events"})
ADMIN_PATHS: Final = ("/api/v1/tokens", "/api/v1/backups", "/api/v1/dead-letters")
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Identity(NamedTuple):
    """Who asks. `project` is the one it may read and write, or '*' for all."""

    id: str
    name: str
    role: Role
    project: str

    @property
    def is_scoped(self) -> bool:
        return self.project != "*"


class Refusal(NamedTuple):
    """An answer to who may not; `status` is 401 or 403."""

    status: int
    message: str
    field: str


def need_of(method: str, path: str) -> Right:
    """What a request to the collector's port needs. What is not known to be harmless is the administrator's."""
    if path.startswith(INGEST_PATHS):
        return "ingest"
    if path.startswith(ADMIN_PATHS):
        return "admin"
    if method in READING:
        return "read"
    return "write" if method == "POST" and path in WRITE_PATHS else "admin"


def allow(identity: Identity, need: Right, project: str | None = None) -> Refusal | None:
    """None if `identity` may; `project` is the one meant, '*' what concerns all, None what is settled elsewhere."""
    if need not in RIGHTS[identity.role]:
        able = " or ".join(role for role in ROLES if need in RIGHTS[role])
        return Refusal(403, f"this needs a token with the role {able}; yours is {identity.role}", "role")
    return None if project is None else keep_to(identity, project)


def keep_to(identity: Identity, project: str) -> Refusal | None:
    """None if what is of `project` is open to `identity`, whatever its role."""
    if not identity.is_scoped or project == identity.project:
        return None
    wanted = "all projects" if project == "*" else f"project {project!r}"
    return Refusal(403, f"this needs a token for {wanted}; yours is for {identity.project!r}", "project")
