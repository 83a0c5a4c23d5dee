"""Boilerplate, and C4's other rules."""

import pytest
from rule_settings import applied

from reprise.rules import Drop


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        ("Please enable JavaScript to see this page.", False),
        ("We USE COOKIES, as all do.", False),
        ("We use cookie jars.", True),
        ("HOME", False),
        (" * Home: ", False),
        ("Home | Search » Contact us", False),
        ("Home • Search", False),
        ("Home | Away", True),
        ("Homeward", True),
        ("Contact us for more", True),
        ("", True),
        ("|", True),
    ],
)
def test_lines_of_boilerplate_are_taken_out(line: str, stays: bool) -> None:
    text = f"First line\n{line}\nLast line"
    outcome, tally = applied(text, "boilerplate")
    assert outcome == (text if stays else "First line\nLast line")
    assert tally == ({} if stays else {"boilerplate_lines": 1})


def test_citation_marks_can_stay_and_numbers_in_brackets_of_four_digits_do() -> None:
    text = "So[1] it[12] was[citation needed] in [1984]."
    assert applied(text, "boilerplate")[0] == "So it was in [1984]."
    assert applied(text, "boilerplate", boilerplate={"citation_marks": False})[0] == text


GOOD = "This line is good enough."


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        ("This one ends well, too.", True),
        ("Does this one end well?", True),
        ("He said: \u201cIt ends well.\u201d  ", True),
        ('He said that "it ends well"', True),
        ("This one goes on and on...", False),
        ("This one goes on and on\u2026", False),
        ("This line ends with a colon:", False),
        ("This has four words.", False),
        ("", True),
    ],
)
def test_c4_keeps_lines_that_end_a_sentence_and_are_long_enough(line: str, stays: bool) -> None:
    text = f"{GOOD}\n{line}\n{GOOD}"
    outcome, _ = applied(text, "c4", c4={"min_sentences": 1})
    assert outcome == (text if stays else f"{GOOD}\n{GOOD}")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One is here. Two is here! Is three here?", 3),
        ("It is 3.14 or so... Well, version 1.2.3 is out.", 2),
        ('He said "This is it." And left.', 2),
        ("这是第一句。这是第二句！这是第三句？", 3),  # noqa: RUF001
    ],
)
def test_sentences_are_counted(text: str, sentences: int) -> None:
    changed = {"min_line_words": 0, "min_sentences": sentences}
    assert applied(text, "c4", c4=changed)[0] == text
    changed["min_sentences"] += 1
    assert applied(text, "c4", c4=changed)[0] == Drop("too_few_sentences")


@pytest.mark.parametrize(
    ("text", "bad"),
    [("A BadWord.", True), ("Some badwords.", False), ("有坏词在", True), ("坏，词", False)],  # noqa: RUF001
)
def test_bad_words_are_whole_words_where_words_have_blanks(text: str, bad: bool) -> None:
    changed = {"end_marks_needed": False, "min_line_words": 0, "min_sentences": 0}
    assert (applied(text, "c4", c4=changed)[0] == Drop("with_bad_word")) == bad


def test_each_rule_of_c4_can_be_switched_off() -> None:
    text = "{ badword }"
    changed = {
        "end_marks_needed": False,
        "min_line_words": 0,
        "min_sentences": 0,
        "curly_brackets_allowed": True,
        "bad_words": [],
    }
    assert applied(text, "c4", c4=changed) == (text, {})
