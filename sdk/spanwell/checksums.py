"""Check digits of numbers that name a person or an account. Each takes the number alone, without separators."""

import re
from datetime import date
from typing import Final

IBAN_LENGTHS: Final = {
    word[:2]: int(word[2:])
    for word in re.findall(
        r"\w{4}",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
        "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
        "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20",
    )
}
CARD_LENGTHS: Final = {"2": (16,), "3": (14, 15, 16), "4": (13, 16, 19), "5": (16,), "6": (16, 17, 18, 19)}
DNI_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
ODD_OF_FISCAL: Final = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        map(int, re.findall(r"\d\d", "010005070913151719210100050709131517192102041820110306081214161022252423")),
        strict=True,
    )
)
# Verhoeff's tables are those of the dihedral group of order ten.
TIMES: Final = tuple(
    tuple((a + b if a < 5 else a - b) % 5 + (5 if (a < 5) != (b < 5) else 0) for b in range(10)) for a in range(10)
)
PERMUTED: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def is_iban(number: str) -> bool:
    """ISO 13616: the length is the country's, and the number modulo 97 is 1."""
    if IBAN_LENGTHS.get(number[:2]) != len(number):
        return False
    return int("".join(str(int(sign, 36)) for sign in number[4:] + number[:4])) % 97 == 1


def is_card(digits: str) -> bool:
    """A payment card: a known first digit and length, and Luhn's sum."""
    return len(digits) in CARD_LENGTHS.get(digits[0], ()) and len(set(digits)) > 1 and is_luhn(digits)


def is_luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def is_cpf(digits: str) -> bool:
    """Brazil: eleven digits, the last two of which check the others."""
    if len(set(digits)) == 1:
        return False
    return all(
        sum(int(digit) * weight for digit, weight in zip(digits, range(length + 1, 1, -1), strict=False)) * 10 % 11 % 10
        == int(digits[length])
        for length in (9, 10)
    )


def is_bsn(digits: str) -> bool:
    """The Netherlands: nine digits, weighted 9 to 2 and -1."""
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    return int(digits) > 0 and sum(int(digit) * by for digit, by in zip(digits, weights, strict=True)) % 11 == 0


def is_pesel(digits: str) -> bool:
    """Poland: a date of birth whose month tells the century, and a weighted sum."""
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
    if sum(int(digit) * by for digit, by in zip(digits, weights, strict=True)) % 10:
        return False
    century, month = divmod(int(digits[2:4]), 20)
    try:
        date((1900, 2000, 2100, 2200, 1800)[century] + int(digits[:2]), month, int(digits[4:6]))
    except ValueError:
        return False
    return True


def is_steuer_id(digits: str) -> bool:
    """Germany: of the first ten digits just one comes more than once; ISO 7064 MOD 11,10 makes the last."""
    counts = sorted(map(digits[:10].count, set(digits[:10])))
    if digits[0] == "0" or counts[-1] not in (2, 3) or (len(counts) > 1 and counts[-2] > 1):
        return False
    product = 10
    for digit in digits[:10]:
        product = 2 * ((int(digit) + product) % 10 or 10) % 11
    return (11 - product) % 10 == int(digits[10])


def is_nir(digits: str) -> bool:
    """France: sex, year, month and place of birth, a number, and two digits modulo 97."""
    return digits[0] in "12" and 97 - int(digits[:13]) % 97 == int(digits[13:])


def is_aadhaar(digits: str) -> bool:
    """India: twelve digits under Verhoeff's check."""
    check = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _ in range(position % 8):
            value = PERMUTED[value]
        check = TIMES[check][value]
    return digits[0] not in "01" and check == 0


def is_nhs(digits: str) -> bool:
    """England: ten digits, weighted 10 to 2 and checked modulo 11."""
    check = 11 - sum(int(digit) * by for digit, by in zip(digits, range(10, 1, -1), strict=False)) % 11
    return check % 11 == int(digits[9]) and check != 10


def is_dni(number: str) -> bool:
    """Spain: eight digits, or X, Y or Z and seven, and the letter they make."""
    digits = number[:-1].translate({ord("X"): "0", ord("Y"): "1", ord("Z"): "2"})
    return DNI_LETTERS[int(digits) % 23] == number[-1]


def is_fiscal_code(code: str) -> bool:
    """Italy: fifteen letters and digits, and a letter that checks them."""
    odd, even = code[0:15:2], code[1:15:2]
    total = sum(ODD_OF_FISCAL[sign] for sign in odd) + sum(
        int(sign, 36) - (0 if sign.isdigit() else 10) for sign in even
    )
    return chr(ord("A") + total % 26) == code[15]
