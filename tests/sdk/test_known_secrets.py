"""A secret that is known is found however it is written."""

import base64
from urllib.parse import quote

import pytest

from spanwell.known_secrets import mask_known

SECRET = "key+with/ß=0123456789"


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        "".join(f"%{byte:02X}" for byte in SECRET.encode()),
        SECRET.replace("/", "\\/"),
        "".join(f"\\u{ord(letter):04X}" for letter in SECRET),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
    ],
)
def test_every_spelling_is_masked(written: str) -> None:
    assert mask_known(f"a {written} b", SECRET) == "a [SECRET] b"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_masked_wherever_it_begins(before: str, encode: object) -> None:
    assert callable(encode)
    whole = encode((before + SECRET + "!").encode()).decode()

    masked = mask_known(whole, SECRET)

    assert "[SECRET]" in masked
    assert len(masked) <= len(whole) - len(SECRET) + len("[SECRET]")


def test_the_slashes_of_base64_may_be_escaped() -> None:
    encoded = base64.b64encode(b"?" * 40).decode()

    assert "/" in encoded
    assert mask_known(encoded.replace("/", "\\/"), "?" * 40) == "[SECRET]" + encoded[-3:]


def test_other_texts_stay() -> None:
    assert mask_known("nothing of it: key+with", SECRET) == "nothing of it: key+with"
    assert mask_known("a short pin", "pin") == "a short [SECRET]"
