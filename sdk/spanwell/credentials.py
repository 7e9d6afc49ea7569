"""Finds keys, tokens and passwords in text. Linear in the text, fast where there is none; nothing is changed here."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from spanwell.pii import Found, keep_apart

WORD_BEFORE: Final = 32  # characters before `:` or `=` that may name what stands behind it
LEAST_BITS: Final = 3.0  # of entropy a character: what was drawn by chance, and no word

PREFIXES: Final = ("sk|pk|rk|hf", "gh[oprsu]|npm", "xox[abeprs]|pypi", "glpat|whsec", "github_pat")  # by length
# Searched by its separator, which is rare, and judged by what stands before it: 25 times faster than by the prefix.
# In JSON an escaped line break is a boundary too, though it ends in a letter.
KEY: Final = re.compile(
    "[-_](?:"
    + "|".join(rf"(?<=\b({words})[-_])|(?<=\\[nrt]({words})[-_])" for words in PREFIXES)
    + r")[A-Za-z0-9_\-]{12,256}+"
)
KEY_BEGINS: Final = r"(?=[A-Za-z0-9_\-]{12})(?:" + "|".join(f"(?<=(?:{words})[-_])" for words in PREFIXES) + ")"
AWS_KEY: Final = re.compile(r"\bA[KS]IA(?:[A-Z0-9]{16}\b|[-_][A-Za-z0-9_\-]{12,256}+)")
GOOGLE_KEY: Final = re.compile(r"(?<![\w\-])AIza[A-Za-z0-9_\-]{35}(?![\w\-])")
WEB_TOKEN: Final = re.compile(
    r"(?<![\w\-])eyJ[A-Za-z0-9_\-]{8,2048}+\.[A-Za-z0-9_\-]{8,4096}+\.[A-Za-z0-9_\-]{8,1024}+"
)
BEARER: Final = re.compile(r"(?<=[Bb]earer )[A-Za-z0-9._~+/\-]{12,4096}+")
PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----[^-]{0,16384}+(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY-----)?"
)
# Kind, the text without which there is none, the pattern.
LITERAL: Final = (
    ("api_key", "AKIA", AWS_KEY),
    ("api_key", "ASIA", AWS_KEY),
    ("api_key", "AIza", GOOGLE_KEY),
    ("token", "eyJ", WEB_TOKEN),
    ("token", "earer ", BEARER),
    ("private_key", "PRIVATE KEY-----", PRIVATE_KEY),
)
ASSIGNED: Final = re.compile(r"[:=]\s{0,3}[\"'`]?(?P<value>[^\s\"'`,;(){}\[\]<>]{8,128}+)(?![^\s\"'`,;(){}\[\]<>])")
KEY_WORD: Final = re.compile(
    r"(?i:pass(?:word|wd|phrase)|kennwort|passwort|secret|token|api[_ \-]?key|access[_ \-]?key|private[_ \-]?key"
    r"|credentials?|(?<![a-z])pwd)[\"'`\w]{0,12}\s{0,3}\Z"
)


def find_secrets(text: str, *, named: bool = False) -> list[Found]:
    """API keys, tokens and private keys; with `named` also what looks drawn by chance behind a word like password."""
    found = [Found(match.start(match.lastindex or 0), match.end(), "api_key") for match in KEY.finditer(text)]
    for kind, sign, pattern in LITERAL:
        if sign in text:
            found += [Found(*match.span(), kind) for match in pattern.finditer(text)]
    if named:
        found += _find_named(text)
    return keep_apart(found) if len(found) > 1 else found


def _find_named(text: str) -> Iterator[Found]:
    for match in ASSIGNED.finditer(text):
        before = text[max(0, match.start() - WORD_BEFORE) : match.start()]
        if KEY_WORD.search(before) and is_random(match["value"]):
            yield Found(*match.span("value"), "password")


def is_random(value: str) -> bool:
    """Letters and digits (or signs) with Shannon entropy enough: `hunter2!x9Kq` is, `response.headers` is not."""
    kinds = (any(map(str.islower, value)), any(map(str.isupper, value)), any(map(str.isdigit, value)))
    if sum(kinds) < 2 or not kinds[2]:
        return False
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts) >= LEAST_BITS
