"""Rules that mend characters and blanks."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_settings import applied

MENDING = (
    "encoding",
    "control_characters",
    "unicode",
    "space_marks",
    "trailing_blanks",
    "outer_lines",
)


@pytest.mark.parametrize(
    ("rule", "text", "mended"),
    [
        ("control_characters", "a\x00b\x0bc\x1b[0m\x7f\td\n", "abc[0m\td\n"),
        ("control_characters", "é\x00\x85\x9f\td\n", "é\td\n"),
        ("control_characters", "plain", "plain"),
        ("space_marks", "\u2581a\u2581", "_a_"),
        ("trailing_blanks", "\n  a  \n\t\n b \t\n\n", "\n  a\n\n b\n\n"),
        ("trailing_blanks", "  indented\nx\u3000", "  indented\nx\u3000"),
        ("outer_lines", "\n \n    def f():  \n\t\n  x \t\n \n\n", "    def f():  \n\t\n  x \t"),
        ("outer_lines", "  indented\nx ", "  indented\nx "),
        ("outer_lines", "  indented", "  indented"),
        ("outer_lines", " \n\t\n", ""),
        ("outer_lines", "\n", ""),
        ("outer_lines", "x\n", "x"),
        ("unicode", "e\u0301 \ufb01", "\u00e9 \ufb01"),
        ("encoding", "plain", "plain"),
        ("encoding", "schÃ¶n", "schön"),
        ("encoding", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "привет"),  # noqa: RUF001
        ("encoding", "ä½\u00a0å¥½ï¼Œä¸–ç•Œ", "你好，世界"),  # noqa: RUF001
        # Nothing else of ftfy: no straight quotation marks, no entities, no ligatures apart.
        ("encoding", "“déjà vu” &amp; ﬁne\u00a0x", "“déjà vu” &amp; ﬁne\u00a0x"),
    ],
)
def test_each_rule_mends_what_it_is_for_and_nothing_else(rule: str, text: str, mended: str) -> None:
    outcome, tally = applied(text, rule)
    assert outcome == mended
    assert bool(tally) == (mended != text)


def test_compatibility_forms_are_another_setting() -> None:
    assert applied("e\u0301 \ufb01", "unicode", unicode_form="NFKC")[0] == "\u00e9 fi"


def test_trailing_blanks_leave_as_many_lines_as_there_were() -> None:
    wikitext = " \n = Title = \n \n The <unk> . \n"
    outcome, _ = applied(wikitext, "trailing_blanks")
    assert outcome == "\n = Title =\n\n The <unk> .\n"


def test_only_the_lines_in_a_wrong_encoding_are_touched() -> None:
    text = "schÃ¶n &amp; gut\nschön “gut”\nÃ¼ber"
    assert applied(text, "encoding") == (
        "schön &amp; gut\nschön “gut”\nüber",
        {"lines_in_wrong_encoding": 2},
    )


@given(st.text(st.characters(), max_size=60), st.sampled_from(["NFC", "NFKC"]))
def test_mended_text_needs_no_mending(text: str, form: str) -> None:
    # A second look by ftfy may see more: what it mended once can look wrong again.
    rules = [rule for rule in MENDING if rule != "encoding"]
    clean, _ = applied(text, *rules, unicode_form=form)
    assert isinstance(clean, str)
    assert applied(clean, *rules, unicode_form=form) == (clean, Counter())
    assert clean.encode("utf-8").decode("utf-8") == clean
    assert not set(clean) & {"\x00", "\r", "\u2581", "\x85"}
    assert unicodedata.is_normalized(form, clean)


def test_quotes_and_dashes_alone_are_no_sign_of_a_wrong_encoding() -> None:
    """What the fast path leaves out, ftfy would leave as it is."""
    from itertools import product

    from ftfy import fix_encoding

    signs = "\u2013\u2014\u2018\u2019\u201c\u201d\u2026"
    for found in product(signs, repeat=3):
        for text in ("".join(found), "a " + " b".join(found) + "."):
            assert fix_encoding(text) == text
