"""Takes secrets out of text before it is logged or stored. One pass, bounded repeats: linear in the text."""

import re

SECRET = re.compile(
    r"\b(?:sk|pk|rk|xox[abprs]|ghp|gho|ghs|glpat|hf|AKIA|ASIA|whsec)[-_][A-Za-z0-9_\-]{12,256}"  # a key by its prefix
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\beyJ[A-Za-z0-9_\-]{8,2048}\.[A-Za-z0-9_\-]{8,4096}\.[A-Za-z0-9_\-]{8,1024}"  # a JSON web token
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/\-]{12,4096}"
)
MASK = "[SECRET]"


def mask_secrets(text: str) -> str:
    """Replace API keys, bearer tokens and JSON web tokens by `[SECRET]`."""
    return SECRET.sub(MASK, text)
