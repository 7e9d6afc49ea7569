"""Keeps those who go on with a response at the deployment that made it, and to their own responses."""

from typing import Final, Protocol

from spanwell_proxy.call import Call
from spanwell_proxy.failures import ApiError
from spanwell_proxy.stored.origins import Origin, Origins

LONGEST_ID: Final = 256


class Keeper(Protocol):
    """What these steps need of the gateway."""

    @property
    def origins(self) -> Origins: ...


async def stay_at_origin(call: Call, gateway: Keeper) -> None:
    """Where the request goes on with an earlier response, its deployment has to answer. Raises ApiError 404."""
    if call.api.goes_on_with is None or not (earlier := call.api.goes_on_with(call.request)):
        return
    origin = await find_own(call, gateway, earlier)
    if origin is None and call.caller and call.caller.key_id:
        raise not_found(
            earlier, next(name for name in ("previous_response_id", "conversation") if call.request.get(name))
        )
    if origin:
        call.pinned = origin.deployment


async def find_own(call: Call, gateway: Keeper, response_id: str) -> Origin | None:
    """The origin of a response that is the caller's; all are the operator's."""
    origin = await gateway.origins.find(response_id)
    key_id = call.caller.key_id if call.caller else ""
    return origin if origin and (not key_id or origin.owner == key_id) else None


def note_origin(call: Call, gateway: Keeper) -> None:
    """Once a call has been answered: which deployment keeps its answer, or what it has made."""
    if not (call.api.keeps_answers or call.api.is_passthrough) or call.deployment is None or call.cache == "hit":
        return
    given = call.told("id")
    if call.request.get("store") is False or not 0 < len(given) <= LONGEST_ID:
        return
    owner = call.caller.key_id if call.caller else ""
    gateway.origins.note(given, Origin(call.deployment.id, call.deployment.model_name, owner))


def not_found(response_id: str, param: str | None) -> ApiError:
    kind = "conversation" if param == "conversation" else "response"
    return ApiError(404, f"{kind}_not_found", f"no {kind} {response_id[:100]!r} of yours is known", param=param)
