"""Which API a request's path belongs to."""

from spanwell_proxy.apis.api import Api
from spanwell_proxy.apis.chat import CHAT

APIS: tuple[Api, ...] = (CHAT,)
_BY_PATH = {prefix + api.path: api for api in APIS for prefix in ("", "/v1")}


def find_api(path: str) -> Api | None:
    """The API that takes a POST to `path`; None where there is none."""
    return _BY_PATH.get(path)
