"""Finds what names a person in text: one pass from digit to digit and from @ to @, each find confirmed by its checksum.

Linear in the text: every pattern is bounded and begins where a rare character stands. Nothing is changed here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, Literal, NamedTuple

from spanwell import checksums as check

Kind = Literal["email", "phone", "iban", "card", "ssn", "national_id", "passport", "ip"]
KINDS: Final[tuple[Kind, ...]] = ("email", "phone", "iban", "card", "ssn", "national_id", "passport", "ip")
LONGEST: Final = 330  # characters of the longest find, an e-mail address
CONTEXT: Final = 40  # characters before a number that may say what it is


class Found(NamedTuple):
    """One find: `text[start:end]`."""

    start: int
    end: int
    kind: str


GAP = r"[ \-\u00a0\u2011\u202f]"  # between the groups of a number
NUMBER_GOES_ON: Final = r"(?=[\dA-Z .\-/()\u00a0\u2011\u202f]{6})"
# Searched by its first digit, which is rare in prose, and given up where the next six signs are no number's; only then
# is looked at what stands before. The first digit is in every branch, so a branch counts one less.
NUMBER: Final = re.compile(
    r"\d(?<!\d\d)" + NUMBER_GOES_ON + r"(?:"
    r"(?<=\+\d)(?P<plus>(?:[ .\-/()\u00a0\u2011\u202f]{0,3}\d){7,14}(?!\d))"
    r"|(?<!\w\d)(?<!\d[.,:]\d)(?:"
    rf"(?P<card>\d{{12,18}}(?!\w)|\d{{3}}(?:{GAP}\d{{4}}){{3}}(?!\w)|\d{{3}}{GAP}\d{{6}}{GAP}\d{{5}}(?!\w))"
    r"|(?P<ssn>\d\d-\d\d-\d{4}(?!\w|-\d))"
    r"|(?P<cpf>\d\d\.\d{3}\.\d{3}-\d\d(?!\w))"
    rf"|(?P<aadhaar>\d{{3}}{GAP}\d{{4}}{GAP}\d{{4}}(?!\w|{GAP}\d))"
    rf"|(?P<steuer>\d{GAP}\d{{3}}{GAP}\d{{3}}{GAP}\d{{3}}(?!\w|{GAP}\d))"
    rf"|(?P<nir>(?:{GAP}\d\d){{3}}{GAP}\d{{3}}{GAP}\d{{3}}{GAP}\d\d(?!\w))"
    r"|(?P<ipv4>\d{0,2}(?:\.\d{1,3}){3}(?!\w|\.\d))"
    r"|(?P<pairs>(?<=0)[1-9](?:[ .]\d\d){4}(?!\w))"
    r"|(?P<three>\d\d\)?[ .\-]\d{3}[ .\-]\d{4}(?!\w))"
    r"|(?P<area>(?<=0)\d{2,4}\)?[ /\-]\d{3,8}(?:[ \-]\d{2,6})?(?!\w))"
    r"|(?P<bare>\d{8,10}(?!\w))"
    r"|(?P<dni>\d{7}-?[A-Z](?!\w))"
    r")"
    r"|(?<=(?<!\w)[A-Z]{2}\d)(?P<iban>\d(?: ?[A-Z0-9]){11,30})"
    r"|(?<=(?<!\w)[XYZ]\d)(?P<nie>\d{6}-?[A-Z](?!\w))"
    r"|(?<=(?<!\w)[A-Z]{6}\d)(?P<fiscal>\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z](?!\w))"
    r")"
)
DOMAIN: Final = re.compile(r"@(?:[^\W_][\w\-]{0,62}\.){1,8}[^\W\d_]{2,24}(?![\w\-])")
LOCAL: Final = re.compile(r"[\w.%+\-]{1,64}")  # of the reversed text
COLONS: Final = re.compile(r":[0-9A-Fa-f]{0,4}:")  # no IPv6 address without
IPV6: Final = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}(?![\w:])")
PASSPORT: Final = re.compile(
    r"(?i:passport|passeport|reisepass|pasaporte|passaporto)(?i:[ .:#°\-]{0,3}(?:number|nummer|no|nr|num|n)?)"
    r"[ .:#°]{1,3}"
    r"(?:is |ist |est )?(?P<number>(?=[A-Z]{0,2}\d)[A-Z0-9]{6,9})(?!\w)"
)
BSN: Final = re.compile(r"(?i:\bbsn\b|burgerservice|sofinummer)")
SIN: Final = re.compile(r"(?i:\bsin\b|social insurance|assurance sociale)")
NHS: Final = re.compile(r"(?i:\bnhs\b)")
PESEL: Final = re.compile(r"(?i:\bpesel\b)")
CPF: Final = re.compile(r"(?i:\bcpf\b)")


def find_pii(text: str, kinds: frozenset[str]) -> list[Found]:
    """Finds of these kinds in their order, none over another."""
    found = list(_find_numbers(text, kinds)) if not kinds.isdisjoint(NUMBERED) else []
    if "email" in kinds and "@" in text:
        found += _find_emails(text)
    if "ip" in kinds and COLONS.search(text):
        found += [Found(*match.span(), "ip") for match in IPV6.finditer(text) if _is_public_v6(match[0])]
    if "passport" in kinds and _may_name_a_passport(text.lower()):
        found += [Found(*match.span("number"), "passport") for match in PASSPORT.finditer(text)]
    return keep_apart(found) if len(found) > 1 else found


def keep_apart(found: list[Found]) -> list[Found]:
    """In their order; of those that overlap the one that begins first, and of these the longest."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def _find_numbers(text: str, kinds: frozenset[str]) -> Iterator[Found]:
    for match in NUMBER.finditer(text):
        one = JUDGES[match.lastgroup or ""](text, match)
        if one and one.kind in kinds:
            yield one


def _find_emails(text: str) -> Iterator[Found]:
    for match in DOMAIN.finditer(text):
        at = match.start()
        local = LOCAL.match(text[max(0, at - 64) : at][::-1])
        if local and (length := len(local[0].rstrip(".-"))):
            yield Found(at - length, match.end(), "email")


def _may_name_a_passport(lowered: str) -> bool:
    return "pass" in lowered or "pasap" in lowered


def _digits(shown: str) -> str:
    """The digits of a number as it is written, of any script, in ASCII."""
    return "".join(str(int(sign)) for sign in shown if sign.isdecimal())


def _said_before(text: str, start: int, word: re.Pattern[str]) -> bool:
    return word.search(text, max(0, start - CONTEXT), start) is not None


def _find(match: re.Match[str], kind: str, is_one: bool, before: int = 0) -> Found | None:
    return Found(match.start() - before, match.end(), kind) if is_one else None


def _card(_: str, match: re.Match[str]) -> Found | None:
    digits = _digits(match[0])
    if check.is_card(digits):
        return Found(*match.span(), "card")
    return _find(match, "national_id", len(digits) == 15 and check.is_nir(digits))


def _ssn(_: str, match: re.Match[str]) -> Found | None:
    area, group, serial = _digits(match[0])[:3], _digits(match[0])[3:5], _digits(match[0])[5:]
    is_one = area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"
    return _find(match, "ssn", is_one)


def _plus(_: str, match: re.Match[str]) -> Found | None:
    return Found(match.start() - 1, match.end(), "phone")


def _area(text: str, match: re.Match[str]) -> Found | None:
    return _phone(text, match, 9 <= len(_digits(match[0])) <= 12)


def _three(text: str, match: re.Match[str]) -> Found | None:
    """3-3-4 digits: a telephone number of North America, or a patient's number of the NHS where that is said."""
    if _said_before(text, match.start(), NHS):
        return _find(match, "national_id", check.is_nhs(_digits(match[0])))
    return _phone(text, match, _digits(match[0])[0] not in "01")


def _phone(text: str, match: re.Match[str], is_one: bool) -> Found | None:
    opened = ")" in match[0]
    return _find(match, "phone", is_one and (not opened or text[match.start() - 1 : match.start()] == "("), int(opened))


def _bare(text: str, match: re.Match[str]) -> Found | None:
    """Digits alone say little: most of these count only where the words before name them."""
    digits = _digits(match[0])
    tests = BY_LENGTH[len(digits)]
    is_one = any((word is None or _said_before(text, match.start(), word)) and test(digits) for word, test in tests)
    return _find(match, "national_id", is_one)


def _iban(text: str, match: re.Match[str]) -> Found | None:
    start = match.start() - 2
    wanted = check.IBAN_LENGTHS.get(text[start : start + 2], 0)
    signs = [at for at in range(start, match.end()) if text[at] != " "][:wanted]  # words may follow it
    end = signs[-1] + 1 if signs else start
    number = "".join(text[at] for at in signs)
    is_one = number.isascii() and not text[end : end + 1].isalnum() and check.is_iban(number)
    return Found(start, end, "iban") if is_one else None


def _ipv4(_: str, match: re.Match[str]) -> Found | None:
    try:
        return _find(match, "ip", IPv4Address(match[0]).is_global)
    except AddressValueError:
        return None


def _is_public_v6(shown: str) -> bool:
    try:
        return IPv6Address(shown).is_global
    except AddressValueError:
        return False


def _national(test: Callable[[str], bool]) -> Callable[[str, re.Match[str]], Found | None]:
    def judge(_: str, match: re.Match[str]) -> Found | None:
        return _find(match, "national_id", test(_digits(match[0])))

    return judge


def _dni(text: str, match: re.Match[str]) -> Found | None:
    before = match.lastgroup == "nie"
    number = text[match.start() - before : match.end()].replace("-", "")
    return _find(match, "national_id", check.is_dni(number), int(before))


def _fiscal(text: str, match: re.Match[str]) -> Found | None:
    code = text[match.start() - 6 : match.end()]
    return _find(match, "national_id", code.isascii() and check.is_fiscal_code(code), 6)


NUMBERED: Final = frozenset(("phone", "iban", "card", "ssn", "national_id", "ip"))
BY_LENGTH: Final[Mapping[int, tuple[tuple[re.Pattern[str] | None, Callable[[str], bool]], ...]]] = {
    9: ((BSN, check.is_bsn), (SIN, check.is_luhn)),
    10: ((NHS, check.is_nhs),),
    11: ((None, check.is_steuer_id), (PESEL, check.is_pesel), (CPF, check.is_cpf)),
}
JUDGES: Final[Mapping[str, Callable[[str, re.Match[str]], Found | None]]] = {
    "plus": _plus,
    "card": _card,
    "ssn": _ssn,
    "cpf": _national(check.is_cpf),
    "aadhaar": _national(check.is_aadhaar),
    "steuer": _national(check.is_steuer_id),
    "nir": _national(check.is_nir),
    "ipv4": _ipv4,
    "pairs": _area,
    "three": _three,
    "area": _area,
    "bare": _bare,
    "dni": _dni,
    "iban": _iban,
    "nie": _dni,
    "fiscal": _fiscal,
}
