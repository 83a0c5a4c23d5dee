"""Rules for one document."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprise.cleaning import (
    in_unicode_form,
    reason_to_drop,
    repaired,
    without_controls,
    without_outer_blanks,
    without_space_marks,
    without_surrogates,
)
from reprise.params.clean import CleanParams


def params(**changed: object) -> CleanParams:
    return CleanParams.model_validate(
        {
            "max_invalid_bytes_fraction": 0.001,
            "unicode_form": "NFC",
            "min_characters": 3,
            "max_characters": 10,
            "drop_exact_duplicates": True,
            "max_dropped_fraction": 0.5,
            "valid_fraction": 0.1,
            "test_fraction": 0.1,
            "split_seed": 1,
            "samples_per_reason": 2,
        }
        | changed
    )


@pytest.mark.parametrize(
    ("rule", "text", "mended"),
    [
        (without_controls, "a\x00b\x0bc\x1b[0m\x7f\x85\td\n", ("abc[0m\td\n", 5)),
        (without_controls, "plain", ("plain", 0)),
        (without_surrogates, "a\ud800b\U0001f600", ("a\ufffdb\U0001f600", 1)),
        (without_space_marks, "\u2581a\u2581", ("_a_", 2)),
        (without_outer_blanks, "\n \n    def f():  \n\t\n  x \t\n\n", ("    def f():\n\n  x", 1)),
        (without_outer_blanks, "  indented\nx", ("  indented\nx", 0)),
        (without_outer_blanks, " \n\t\n", ("", 1)),
        (in_unicode_form("NFC"), "e\u0301 \ufb01", ("\u00e9 \ufb01", 1)),
        (in_unicode_form("NFKC"), "e\u0301 \ufb01", ("\u00e9 fi", 1)),
        (in_unicode_form("none"), "e\u0301", ("e\u0301", 0)),
    ],
)
def test_each_repair_mends_and_counts(rule, text: str, mended: tuple[str, int]) -> None:
    assert rule(text) == mended


def test_repairs_are_made_in_order_and_counted_by_name() -> None:
    counts: Counter[str] = Counter()
    assert repaired("\r\n\x00e\u0301\u2581 \r\n", params(), counts) == "\u00e9_"
    assert +counts == {
        "line_ends": 2,
        "control_characters": 1,
        "u2581_to_underscore": 1,
        "documents_in_other_unicode_form": 1,
        "documents_with_outer_blanks": 1,
    }


@given(st.text(st.characters(), max_size=60), st.sampled_from(["none", "NFC", "NFKC"]))
def test_repaired_text_needs_no_repair(text: str, form: str) -> None:
    clean = repaired(text, params(unicode_form=form), Counter())
    counts: Counter[str] = Counter()
    assert repaired(clean, params(unicode_form=form), counts) == clean
    assert not +counts
    assert clean.encode("utf-8").decode("utf-8") == clean
    assert not set(clean) & {"\x00", "\r", "\u2581"}
    if form != "none":
        assert unicodedata.is_normalized(form, clean)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ab", "too_few_characters"),
        ("天地玄", None),
        ("a" * 10, None),
        ("a" * 11, "too_many_characters"),
    ],
)
def test_each_reason_to_drop(text: str, reason: str | None) -> None:
    assert reason_to_drop(text, params()) == reason
