"""Secrets leave the text, and nothing else does."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanwell.masking import MASK, mask_secrets

TOKEN = "abcdEFGH0123456789"
WEB_TOKEN = f"eyJ{TOKEN}.{TOKEN}.{TOKEN}"


@pytest.mark.parametrize(
    "secret",
    [
        *(f"{prefix}{TOKEN}" for prefix in ("sk-", "sk-ant-api03-", "pk_", "rk-", "hf_", "ghp_", "gho_", "ghs_")),
        *(f"{prefix}{TOKEN}" for prefix in ("xoxb-", "xoxp-", "glpat-", "whsec_", "AKIA_", "ASIA-")),
        "AKIAIOSFODNN7EXAMPLE",
        WEB_TOKEN,
    ],
)
def test_a_secret_is_masked_wherever_it_stands(secret: str) -> None:
    text = f'before {secret} and "{secret}", then ({secret})'

    assert mask_secrets(text) == f'before {MASK} and "{MASK}", then ({MASK})'


def test_a_bearer_token_of_any_shape_is_masked() -> None:
    assert mask_secrets("authorization: Bearer 0123456789/+~.abc") == f"authorization: Bearer {MASK}"


def test_neighbours_are_masked_each() -> None:
    assert mask_secrets(f"sk-{TOKEN} ghp_{TOKEN} {WEB_TOKEN}") == f"{MASK} {MASK} {MASK}"


@pytest.mark.parametrize(
    "text",
    [
        "task-based-learning-is-good",
        "risk_assessment_report_2026",
        "sk-short",
        "desk-abcdefghijklmnop",
        "the eyJ prefix",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert mask_secrets(text) == text


@given(st.text())
def test_masking_twice_changes_nothing(text: str) -> None:
    once = mask_secrets(text)

    assert mask_secrets(once) == once


@pytest.mark.parametrize("text", ["eyJ-" * 50_000, "sk-" * 60_000, "Bearer " * 30_000, "AKIA" * 50_000, "-_" * 90_000])
def test_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    started = time.process_time()

    mask_secrets(text)

    assert time.process_time() - started < 0.5
