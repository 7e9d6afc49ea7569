"""Every key of LiteLLM's configuration file: what counts here, and why the rest does not.

The tests hold this table against the installed LiteLLM: a key of its that is not in it fails them.
"""

from fnmatch import fnmatchcase
from typing import Final

from spanwell.rates import RATE
from spanwell_proxy.config.known.general_settings import GENERAL_SETTINGS
from spanwell_proxy.config.known.litellm_settings import LITELLM_SETTINGS
from spanwell_proxy.config.known.models import LITELLM_PARAMS, MODEL_INFO
from spanwell_proxy.config.known.reasons import CALLBACKS, FILES, GUARDS, LOGIN, MCP, PROMPTS, VECTORS
from spanwell_proxy.config.known.router_settings import ROUTER_SETTINGS

SECTIONS: Final = {
    "router_settings": ROUTER_SETTINGS,
    "litellm_settings": LITELLM_SETTINGS,
    "general_settings": GENERAL_SETTINGS,
    "litellm_params": LITELLM_PARAMS,
    "model_info": MODEL_INFO,
}
UNUSED: Final = {
    "guardrails": GUARDS,
    "prompts": PROMPTS,
    "callback_settings": CALLBACKS,
    "files_settings": FILES,
    "finetune_settings": "fine-tuning goes on to the model's deployment",
    "default_vertex_config": "write it in credential_list, or in the model's own entry",
    "vector_store_registry": VECTORS,
    "assistant_settings": "the assistants API has gone; use responses",
    "worker_registry": LOGIN,
}


def explain(section: str, key: str) -> str | None:
    """Why a key of `section` means nothing here; None where it counts, empty where LiteLLM has no such key either."""
    keys = SECTIONS[section]
    if key in keys.honoured or (section in ("litellm_params", "model_info") and RATE.fullmatch(key)):
        return None
    return next((reason for pattern, reason in keys.named.items() if fnmatchcase(key, pattern)), "")


def explain_section(section: str) -> str:
    """Why a whole section means nothing here."""
    return UNUSED.get(section, MCP)
