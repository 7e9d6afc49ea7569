"""What a LiteLLM process may know of our environment: where it runs, and the keys of providers. Nothing else.

LiteLLM and what it imports read hundreds of variables: where to log, what to download, which hooks to run.
"""

import re
from collections.abc import Mapping

SYSTEM = frozenset(
    (
        "HOME",
        "LANG",
        "LC_ALL",
        "LD_LIBRARY_PATH",
        "PATH",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TMPDIR",
        "TZ",
        "VIRTUAL_ENV",
    )
)
# As LiteLLM's providers name them. Ours, the SDK's and LiteLLM's own settings have other names, or are left out below.
CREDENTIAL = re.compile(
    r"[A-Z0-9_]+_(API_KEY|API_BASE|API_TOKEN|API_VERSION|BASE_URL|ENDPOINT)"
    r"|(AWS|AZURE|GOOGLE|GEMINI|VERTEX|VERTEXAI|GCLOUD|CLOUDSDK|WATSONX|WX|IBM|DATABRICKS|SNOWFLAKE|OCI|SAP|AICORE|HF"
    r"|HUGGINGFACE)_[A-Z0-9_]+"
    r"|(HTTPS?|NO|ALL)_PROXY"
)
OURS = ("SPANWELL_", "LITELLM_", "OTEL_", "LANGFUSE_", "LANGSMITH_")
# No download of prices or of anything else, no .env file, no chatter; and no tokenizer from the internet.
FIXED = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "HF_HUB_OFFLINE": "1",
}


def scrub(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the lane."""
    kept = {name: value for name, value in environ.items() if name in SYSTEM or CREDENTIAL.fullmatch(name.upper())}
    return {name: value for name, value in kept.items() if not name.upper().startswith(OURS)} | FIXED
