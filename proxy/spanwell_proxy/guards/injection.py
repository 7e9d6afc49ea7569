"""Signs that a text tries to command the model that reads it. A score with its reasons: a signal, never a verdict.

The features and their weights stand here to be read; the score is the chance that one of them is meant, were they
independent: 1 - (1 - w1)(1 - w2)... RE2 makes the search linear in the text, whatever it holds.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final, NamedTuple

import re2

from spanwell_proxy.guards.judging import NOTHING, Finding, Judge, Subject

DEFAULT_THRESHOLD: Final = 0.7
IGNORE: Final = r"(ignore|disregard|forget|override|bypass|do not follow|pay no attention to)"
EARLIER: Final = r"(previous|prior|above|earlier|preceding|all|any|your|the system|these|initial|original)"
RULES: Final = r"(instructions?|prompts?|rules?|guidelines?|directions?|commands?|programming|training|constraints?)"


class Feature(NamedTuple):
    """A sign, and how sure it alone would make one."""

    name: str
    weight: float
    pattern: str


WORDS: Final = r"(\w+\s+){0,3}?"
FREE: Final = r"(restrictions|rules|filters|limits)"
FEATURES: Final = (
    Feature("override", 0.75, IGNORE + r"\s+" + WORDS + EARLIER + r"\s+" + WORDS + RULES),
    Feature(
        *("override", 0.75),
        r"(ignorier\w*|vergiss)\s+(\w+\s+){0,3}?(vorherig|bisherig|obig|all)\w*\s+"
        + WORDS
        + "(anweisung|regel|vorgabe)",
    ),
    Feature("override", 0.75, r"(ignora|olvida|omite)\s+" + WORDS + "(instrucciones|reglas|indicaciones)"),
    Feature(
        *("override", 0.75),
        r"(ignore[zr]?|oublie[zr]?)\s+" + WORDS + r"(instructions|consignes|r[eè]gles)\s+"
        "(pr[eé]c[eé]dentes|ci-dessus|ant[eé]rieures)",
    ),
    Feature("override", 0.75, r"(忽略|无视|忘记)(之前|以上|上面|先前|所有)?的?(所有)?(指令|指示|规则|提示)"),
    Feature("new_orders", 0.4, r"(new|updated|real|actual)\s+(system\s+)?(instructions|orders|objective)\s*(:|are|is)"),
    Feature(
        *("reveal", 0.6),
        r"(reveal|show|print|repeat|output|display|tell me|leak|dump|what (is|are|was|were))\s+"
        + WORDS
        + r"(your|the)\s+"
        r"(\w+\s+){0,2}?(system|hidden|initial|secret|original|developer)\s+(prompt|message|instructions?|rules)",
    ),
    Feature(
        *("role", 0.5),
        r"(you are now|from now on,? you|act as|pretend (to be|you are)|roleplay as)\s+(\S+\s+){0,8}?"
        r"(dan\b|jailbroken|unrestricted|unfiltered|evil|without (any )?" + FREE + "|no " + FREE + ")",
    ),
    Feature("role", 0.5, r"(developer|debug|god|admin|sudo|jailbreak) mode (enabled|on|activated|unlocked)"),
    Feature(
        "jailbreak", 0.5, r"\b(do anything now|jailbreak|no longer bound by|free from (all|any|your) " + FREE + ")"
    ),
    Feature(
        *("markup", 0.6),
        r"<\|(im_start|im_end|system|endoftext|eot_id|start_header_id)\|>|\[/?INST\]|<<SYS>>|</?(system|assistant)>",
    ),
    Feature("markup", 0.35, r"(?m)^\s*(#{2,}\s*)?(system|assistant)\s*(message|prompt)?\s*:"),
    Feature("exfiltration", 0.6, r"!\[[^\]]{0,100}\]\(https?://[^)\s]{1,300}[?&][^)\s]{0,100}="),
    Feature(
        "exfiltration",
        0.5,
        r"(send|post|upload|forward|exfiltrate|email)\s+(\S+\s+){0,8}?(to|at)\s+(https?://|\S+@\S+)",
    ),
    Feature("decode", 0.35, r"(decode|decrypt|execute|run|follow)\s+(\S+\s+){0,4}?(base64|rot13|hex|encoded)"),
)
HIDDEN: Final = ("hidden_text", 0.6)  # signs that nobody sees, such as Unicode's tags
MOST_HIDDEN: Final = 8  # that a text may have for its own sake: emoji are joined by some
INVISIBLE: Final = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad\U000e0000-\U000e007f]")
MOST_MEMORY_BYTES: Final = 64 * 1024 * 1024  # of the automaton: were it short of states, it would find nothing


def _compile() -> re2.Set:
    options = re2.Options()
    options.case_sensitive, options.log_errors, options.max_mem = False, False, MOST_MEMORY_BYTES
    found = re2.Set.SearchSet(options)
    for feature in FEATURES:
        found.Add(feature.pattern)
    found.Compile()
    return found


ANY: Final = _compile()


def judge_injection(threshold: float) -> Judge:
    """Looks at what users, tools and documents say; the application's own system prompt commands by right."""

    async def judge(subject: Subject) -> Finding:
        texts = [one.text for one in subject.texts() if one.place.role not in ("system", "developer")]
        features = weigh("\n".join(texts))
        score = combine(features)
        return Finding({**features, "score": score}) if score >= threshold else NOTHING

    return judge


def weigh(text: str) -> dict[str, float]:
    """The features of a text with their weights."""
    features: dict[str, float] = {}
    plain = text
    if not text.isascii():
        plain, hidden = INVISIBLE.subn("", unicodedata.normalize("NFKC", text))
        if hidden > MOST_HIDDEN:
            features[HIDDEN[0]] = HIDDEN[1]
    for index in ANY.Match(plain.encode("utf-8", "replace")) or ():
        name, weight, _ = FEATURES[index]
        features[name] = max(weight, features.get(name, 0.0))
    return features


def combine(features: Mapping[str, float]) -> float:
    """0 to 1."""
    doubt = 1.0
    for weight in features.values():
        doubt *= 1 - weight
    return round(1 - doubt, 3)
