"""Which API a request's path belongs to: OpenAI's and Anthropic's paths, with and without `/v1`, and Azure's."""

from typing import NamedTuple

from spanwell_proxy.apis.api import Api
from spanwell_proxy.apis.audio import SPEECH, TRANSCRIPTIONS, TRANSLATIONS
from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.apis.completions import COMPLETIONS
from spanwell_proxy.apis.embeddings import EMBEDDINGS
from spanwell_proxy.apis.images import IMAGE_EDITS, IMAGE_GENERATIONS, IMAGE_VARIATIONS
from spanwell_proxy.apis.messages import COUNT_TOKENS, MESSAGES
from spanwell_proxy.apis.moderations import MODERATIONS
from spanwell_proxy.apis.rerank import RERANK
from spanwell_proxy.apis.responses import COMPACT, INPUT_TOKENS, RESPONSES

APIS: tuple[Api, ...] = (
    *(CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, COMPACT, INPUT_TOKENS, MESSAGES, COUNT_TOKENS),
    *(RERANK, MODERATIONS, IMAGE_GENERATIONS, IMAGE_EDITS, IMAGE_VARIATIONS),
    *(SPEECH, TRANSCRIPTIONS, TRANSLATIONS),
)
PREFIXES = ("/v1", "", "/openai/v1", "/openai")  # Azure's newer paths name the model in the body
AZURE = "/openai/deployments/"


class Match(NamedTuple):
    """What a path asks for. `model` is the one it names, in Azure's manner."""

    api: Api
    model: str = ""


_BY_PATH = {prefix + api.path: Match(api) for api in APIS for prefix in PREFIXES}
_BY_PATH["/v2/rerank"] = Match(RERANK)  # Cohere's clients
_LONGEST_FIRST = sorted(APIS, key=lambda api: len(api.path), reverse=True)


def match_path(path: str) -> Match | None:
    """What a POST to `path` asks for; None where no API has such a path. A slash at the end changes nothing."""
    return _BY_PATH.get(path) or _match_rarely(path)


def _match_rarely(path: str) -> Match | None:
    path = path.rstrip("/")
    if not path.startswith(AZURE):
        return _BY_PATH.get(path)
    rest = path.removeprefix(AZURE)
    # A model's name may hold slashes; one that is empty is none.
    api = next((api for api in _LONGEST_FIRST if rest.endswith(api.path) and len(rest) > len(api.path)), None)
    return Match(api, rest.removesuffix(api.path)) if api else None


def find_api(path: str) -> Api | None:
    """The API that takes a POST to `path`; None where there is none."""
    match = match_path(path)
    return match.api if match else None


def strip_prefix(path: str) -> str:
    """What comes behind the prefix, without a slash at the end: `/models/gpt-5` of `/v1/models/gpt-5/`."""
    prefix = next(
        prefix for prefix in ("/openai/v1", "/openai", "/v1", "") if path.startswith(prefix + "/") or not prefix
    )
    return path.removeprefix(prefix).rstrip("/")
