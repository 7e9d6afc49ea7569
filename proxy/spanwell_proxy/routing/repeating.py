"""What may be asked a second time behind the client's back, as hedges and shadow copies are."""

from collections.abc import Mapping
from typing import Any, Final

STATEFUL: Final = ("mcp_servers", "background", "conversation")
OF_CLIENTS: Final = (None, "function", "custom")  # kinds of tools that a client runs itself, if it likes the answer


def acts(request: Mapping[str, Any]) -> bool:
    """Whether the backend may do more than answer: run tools that send or change something, or keep what was said."""
    tools = request.get("tools")
    hosted = (
        isinstance(tool, Mapping) and tool.get("type") not in OF_CLIENTS
        for tool in (tools if isinstance(tools, list) else ())
    )
    return any(request.get(key) for key in STATEFUL) or any(hosted)
