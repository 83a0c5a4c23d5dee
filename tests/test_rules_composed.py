"""Rules by name: their order, all their reasons and all that they count."""

import pickle
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st
from rule_settings import applied, settings, words

from reprise.params.clean import RuleName
from reprise.rules import RULES, Drop, apply_rules, changes_of, reasons_of, rules_of

PROSE = "The dog went to the wood with a bone. It came home late. Nobody had seen it."


def times(count: int, *lines: str) -> str:
    return "\n".join(lines * count)


def with_runs(size: int, runs: int, others: int) -> str:
    """The same run of words several times, and different words before each time."""
    text: list[str] = []
    for index in range(runs):
        text += words(others, first=1000 + index * others) + words(size)
    return " ".join(text)


# A text for each reason, with the rule that gives it.
DROPPED = {
    "too_many_characters": ("length", "a" * 20_001),
    "too_few_characters": ("length", "ab"),
    "only_markup": ("markup", "<p><br/>&nbsp;</p>"),
    "with_placeholder_text": ("boilerplate", "Lorem IPSUM dolor"),
    "only_boilerplate": ("boilerplate", "Home\n\nWe use cookies.\n"),
    "uncertain_language": ("language", "zzz qqq 123"),
    "other_language": ("language", "Der Hund ging mit einem Knochen in den Wald zurück."),
    # 4 of 10 lines stood there before; then 3 of 10, with 60 of 110 characters.
    "too_many_duplicate_lines": ("repetition", times(1, *words(6), *words(4))),
    "too_many_characters_in_duplicate_lines": (
        "repetition",
        times(1, *words(6), *["x" * 20] * 4),
    ),
    "too_many_duplicate_paragraphs": ("repetition", times(1, *words(9), "\ne\n\ne")),
    "too_many_characters_in_duplicate_paragraphs": (
        "repetition",
        # Of the lines' 62 characters 10 are repeats; of the paragraphs' 80, with line ends, 19.
        "\n\n".join([*words(14, 3), *["\n".join("ABCDEFGHIJ")] * 2]),
    ),
    "too_frequent_2_gram": ("repetition", with_runs(2, 10, 5)),
    "too_frequent_3_gram": ("repetition", with_runs(3, 10, 12)),
    "too_frequent_4_gram": ("repetition", with_runs(4, 10, 19)),
    "too_many_duplicate_5_grams": ("repetition", with_runs(5, 5, 20)),
    "too_many_duplicate_6_grams": ("repetition", with_runs(6, 5, 28)),
    "too_many_duplicate_7_grams": ("repetition", with_runs(7, 5, 35)),
    "too_many_duplicate_8_grams": ("repetition", with_runs(8, 5, 44)),
    "too_many_duplicate_9_grams": ("repetition", with_runs(9, 5, 54)),
    "too_many_duplicate_10_grams": ("repetition", with_runs(10, 5, 68)),
    "too_few_words": ("quality", " ".join(words(49))),
    "too_many_words": ("quality", " ".join(words(1001))),
    "too_short_words": ("quality", " ".join(words(100, 2))),
    "too_long_words": ("quality", " ".join(words(100, 11))),
    "too_many_hashes": ("quality", " ".join([*words(89), *["#tag"] * 11])),
    "too_many_ellipses": ("quality", " ".join([*words(89), *["on..."] * 6, *["off…"] * 5])),
    "too_few_words_with_letters": ("quality", " ".join([*words(79), *["1234"] * 21])),
    "too_few_stop_words": ("quality", " ".join([*words(100), "THE", "them"])),
    "too_many_bullet_lines": ("quality", times(1, *[f"•{word} the and" for word in words(50)])),
    "too_many_ellipsis_lines": (
        "quality",
        times(1, *(f"the {word} and with that{'…' * (word > 'aaabn')}" for word in words(60))),
    ),
    "with_curly_bracket": ("c4", PROSE + " {"),
    "with_bad_word": ("c4", PROSE + " A BADWORD."),
    "no_good_lines": ("c4", "Home\nThis is a line without an end"),
    "too_few_sentences": ("c4", "There are only two of them here. This is the last one."),
}

# A text for each kind of change, with the rule that makes it, the outcome and how often.
CHANGED = {
    "line_ends": (None, "a\r\nb\rc", "a\nb\nc", 2),
    "lone_surrogates": (None, "abc\ud800\udc00", "abc\ufffd\ufffd", 2),
    "lines_in_wrong_encoding": ("encoding", "schÃ¶n\ngut\nâ€œjaâ€\x9d", "schön\ngut\n“ja”", 2),
    "control_characters": ("control_characters", "a\x00b\x1bc\td\n", "abc\td\n", 2),
    "documents_in_other_unicode_form": ("unicode", "e\u0301 \ufb01", "\u00e9 \ufb01", 1),
    "u2581_to_underscore": ("space_marks", "\u2581a\u2581", "_a_", 2),
    "documents_with_trailing_blanks": ("trailing_blanks", " a \n\n\tb\t \n", " a\n\n\tb\n", 1),
    "documents_with_blank_outer_lines": ("outer_lines", "\n \n  a\n\nb\n \n", "  a\n\nb", 1),
    "html_scripts": ("markup", "a<script>if (x < y) {}</script>b<style>p {}</style>c", "abc", 2),
    "html_comments": ("markup", "a<!-- <p> -->b", "ab", 1),
    "html_tags": ("markup", 'a<br/><a href="b">c</a>', "a\nc", 3),
    "html_entities": ("markup", "a &amp; b &#233; &nonsense; &amp", "a & b é &nonsense; &amp", 2),
    "boilerplate_lines": ("boilerplate", "Text\nHome | Search\nUses JavaScript.", "Text", 2),
    "citation_marks": ("boilerplate", "So[1] it[edit] is[citation needed] [x]", "So it is [x]", 3),
    "lines_without_end_mark": ("c4", f"Not a line to keep\n{PROSE}", PROSE, 1),
    "lines_with_too_few_words": ("c4", f"Is it so?\n{PROSE}", PROSE, 1),
    "masked_cards": ("personal_data", "pay 4111 1111 1111 1111", "pay <card>", 1),
    "masked_mails": ("personal_data", "to a.b@example.org, c@d.de", "to <mail>, <mail>", 2),
    "masked_ip_addresses": ("personal_data", "192.0.2.1 2001:db8::1", "<ip> <ip>", 2),
    "masked_phones": ("personal_data", "call +44 20 7946 0958", "call <phone>", 1),
}


def test_every_name_that_the_settings_allow_has_a_rule() -> None:
    assert list(RULES) == list(RuleName.__args__)


def test_there_is_an_example_of_every_reason_and_every_change() -> None:
    assert sorted(DROPPED) == sorted(reasons_of(settings()))
    assert sorted(CHANGED) == sorted(changes_of(settings()))


@pytest.mark.parametrize("reason", DROPPED)
def test_each_reason_drops_its_example(reason: str) -> None:
    rule, text = DROPPED[reason]
    outcome, _ = applied(text, rule)
    assert outcome == Drop(reason)
    assert reason in reasons_of(settings(rules=[rule]))


@pytest.mark.parametrize("change", CHANGED)
def test_each_change_mends_its_example_and_is_counted(change: str) -> None:
    rule, text, mended, count = CHANGED[change]
    rules = [rule] if rule else []
    assert applied(text, *rules) == (mended, {change: count})
    assert change in changes_of(settings(rules=rules))


def test_what_no_file_can_hold_and_too_much_text_are_seen_to_without_any_rule() -> None:
    assert reasons_of(settings(rules=[])) == ("too_many_characters",)
    assert changes_of(settings(rules=[])) == ("line_ends", "lone_surrogates")
    assert applied("a\r\n\udfff") == ("a\n\ufffd", {"line_ends": 1, "lone_surrogates": 1})
    assert applied("a" * 20_000, "length")[0] == "a" * 20_000
    assert applied("a" + " " * 20_000, "trailing_blanks")[0] == Drop("too_many_characters")
    assert applied("a" * 20_001) == (Drop("too_many_characters"), {})
    assert applied("") == ("", {})


def test_what_a_rule_makes_too_long_is_dropped() -> None:
    text = "\ufdfa" * 1200  # 18 characters in NFKC
    assert applied(text, "unicode", unicode_form="NFKC")[0] == Drop("too_many_characters")


def test_the_order_of_the_settings_is_the_order_of_the_rules() -> None:
    padded = "a   "
    assert applied(padded, "trailing_blanks", "length")[0] == Drop("too_few_characters")
    assert applied(padded, "length", "trailing_blanks")[0] == "a"
    assert reasons_of(settings(rules=["quality", "length", "c4"]))[:2] == (
        "too_many_characters",
        "too_few_words",
    )
    assert changes_of(settings(rules=["space_marks", "encoding"]))[2:] == (
        "u2581_to_underscore",
        "lines_in_wrong_encoding",
    )


def test_no_reason_and_no_change_is_named_twice() -> None:
    for names in (reasons_of(settings()), changes_of(settings())):
        assert max(Counter(names).values()) == 1


def test_rules_can_go_to_another_process() -> None:
    rules = pickle.loads(pickle.dumps(rules_of(settings())))
    assert apply_rules("x\r\n" + "a" * 99, rules, Counter()) == Drop("uncertain_language")


TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("\ud800\r\n\t <>&{@:.+-049Ã©▁")))


@run(max_examples=150, deadline=None)
@given(TEXTS, st.permutations([name for name in RULES if name not in ("length", "quality")]))
def test_rules_are_pure_and_leave_what_utf_8_can_hold(text: str, names: list[str]) -> None:
    rules = rules_of(settings(rules=names, c4={"min_sentences": 0, "min_line_words": 0}))
    first, second = Counter[str](), Counter[str]()
    outcome = apply_rules(text, rules, first)
    assert apply_rules(str(text), rules, second) == outcome
    assert first == second
    if isinstance(outcome, str):
        outcome.encode("utf-8")
        assert "\r" not in outcome
    else:
        assert outcome.reason in reasons_of(settings())
