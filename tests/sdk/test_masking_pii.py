"""What names a person is found where its checksum holds, whatever stands around it, in time linear in the text."""

import itertools
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanwell.credentials import find_secrets
from spanwell.masking import OTHER_DIGITS, STORED_KINDS, mask_json, mask_text
from spanwell.pii import KINDS, find_pii

ALL = frozenset(KINDS)
TRUE = [
    ("anna.b+x@exa-mple.co.uk", "email"),
    ("анна@почта.рф", "email"),
    ("+49 (0)30 1234567", "phone"),
    ("(415) 555-2671", "phone"),
    ("415-555-2671", "phone"),
    ("01 42 68 53 00", "phone"),
    ("030/1234567", "phone"),
    ("DE89 3704 0044 0532 0130 00", "iban"),
    ("GB29NWBK60161331926819", "iban"),
    ("4111 1111 1111 1111", "card"),
    ("5555-5555-5555-4444", "card"),
    ("378282246310005", "card"),
    ("４１１１１１１１１１１１１１１１", "card"),  # of full width
    ("123-45-6789", "ssn"),
    ("529.982.247-25", "national_id"),  # Brazil
    ("86095742719", "national_id"),  # Germany
    ("1 85 05 78 006 084 91", "national_id"),  # France
    ("12345678Z", "national_id"),  # Spain
    ("X1234567L", "national_id"),
    ("RSSMRA85T10A562S", "national_id"),  # Italy
    ("2341 2341 2346", "national_id"),  # India
    ("8.8.8.8", "ip"),
    ("2001:4860:4860::8888", "ip"),
]
FALSE = [
    "4111 1111 1111 1112",
    "DE88 3704 0044 0532 0130 00",
    "000-45-6789",
    "529.982.247-26",
    "12345678A",
    "RSSMRA85T10A562T",
    "10.0.0.1 and ::1 at 12:30:45",
    "v1.2.3.4",
    "3.14159265358979",
    "2026-11-21 10.15.30, 1795207129",
    "0000 0000 0000 0000",
    "111222333 without a word that names it",
    "@everyone, look @ this",
]


@pytest.mark.parametrize(("text", "kind"), TRUE)
def test_it_is_found_whatever_stands_around_it(text: str, kind: str) -> None:
    whole = f"My number ({text}), really: {text}."

    found = find_pii(whole, ALL)

    assert [(kind, text), (kind, text)] == [(one.kind, whole[one.start : one.end]) for one in found]


@pytest.mark.parametrize("text", FALSE)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert find_pii(text, ALL) == []


@pytest.mark.parametrize(
    "text",
    ["BSN 111222333", "my PESEL is 44051401359", "NHS number 943 476 5919", "SIN: 046454286", "passport no. C01X00T47"],
)
def test_a_weak_number_counts_where_the_words_before_name_it(text: str) -> None:
    assert len(find_pii(text, ALL)) == 1


@given(st.text(max_size=300), st.sampled_from(TRUE), st.text(max_size=300))
def test_finds_lie_apart_and_inside_the_text(before: str, found: tuple[str, str], after: str) -> None:
    text = before + found[0] + after

    spans = find_pii(text, ALL)

    assert all(0 <= one.start < one.end <= len(text) for one in spans)
    assert all(left.end <= right.start for left, right in itertools.pairwise(spans))


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_a_masked_document_is_still_one(document: object) -> None:
    text = json.dumps([document, "anna@example.com", "a\nsk-abcdefgh01234567"], ensure_ascii=False)

    masked = json.loads(mask_json(text, "pii"))

    assert masked[1:] == ["[EMAIL]", "a\n[SECRET]"]


@pytest.mark.parametrize(("text", "kind"), [one for one in TRUE if one[1] in STORED_KINDS])
@pytest.mark.parametrize("around", ["My number ({}), really: {}.", "{}, 12", "« {} » 😀 {}", "A-{}\n{}"])
def test_no_document_with_a_find_is_passed_over(text: str, kind: str, around: str) -> None:
    said = around.format(text, text)

    masked = json.loads(mask_json(json.dumps([said], ensure_ascii=False), "pii"))

    assert masked == [mask_text(said, "pii")]
    assert f"[{kind.upper()}]" in masked[0]


def test_a_digit_of_any_script_is_looked_at() -> None:
    signs = (chr(code) for code in range(128, 0x110000))

    begins = {sign.encode()[0] for sign in signs if sign.isdecimal()}

    assert begins == set(OTHER_DIGITS)


def test_a_long_number_of_json_is_masked_too() -> None:
    assert mask_json('{"card":4111111111111111,"n":12}', "pii") == '{"card":"[CARD]","n":12}'


def test_a_document_without_finds_comes_back_as_it_was() -> None:
    text = '{"a":  [1, 2.0, "ten at 10:30"]}'

    assert text is mask_json(text, "pii")


@pytest.mark.parametrize(("level", "masked"), [("off", 0), ("secrets", 1), ("pii", 2)])
def test_a_level_masks_what_it_says(level: str, masked: int) -> None:
    text = mask_text("sk-abcdefgh01234567 of anna@example.com", level)  # type: ignore[arg-type]

    assert masked == text.count("[")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("password = 'hunter2!x9Kq'", "password"),
        ('"api_key": "9f8a7b6c5d4e3f2a"', "password"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----", "private_key"),
        ("AIzaSyA-1234567890abcdefghijklmnopqrstu", "api_key"),
        ("github_pat_11ABCDEFG0123456789", "api_key"),
    ],
)
def test_a_secret_that_is_named_is_found(text: str, kind: str) -> None:
    assert [kind] == [one.kind for one in find_secrets(text, named=True)]


@pytest.mark.parametrize("text", ["token = response.headers.get(name)", "password: correct", "secret=aaaaaaaa1111"])
def test_a_word_behind_password_is_no_secret(text: str) -> None:
    assert find_secrets(text, named=True) == []


HOSTILE = [
    "1 ",
    "1",
    "@",
    "a@",
    "+1",
    "DE89 ",
    ":a",
    "a.b@c.",
    "passport ",
    "AA11",
    "٣",
    "1-1111-",
    "key=",
    "-----BEGIN ",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_costs_no_more_than_its_length(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    started = time.process_time()

    find_pii(text, ALL)
    find_secrets(text, named=True)

    assert time.process_time() - started < 0.8
