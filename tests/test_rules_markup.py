"""HTML in text."""

import pytest
from rule_settings import applied

from reprise.rules.base import Drop


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>One <b>two</b></p>\n<P class='x'>three</P>", "\nOne two\nthree\n"),
        ('<a href="x?a=1&b=2" target=_blank>link</a>', "link"),
        ('<img alt="a > b" src=x.png/>', ""),
        ("<input type=checkbox checked disabled>on", "on"),
        ("<!DOCTYPE html><html><title>T</title>", "\nT\n"),
        ("line<br>line<BR />line", "line\nline\nline"),
        ("a<!-- one\n two -->b<!-- never closed", "ab<!-- never closed"),
        ("<script src='x'>if (a<b) {}</script >x<script>y", "x\ny"),
        ("x < y and y > z, List<int>, <unk>, a<b and c>d", None),
        ("<object at 0x7f00>, <mail>, <-, <3", None),
        ("caf&eacute; &#x4e2d;&#25991; &lt;b&gt;", "café 中文 <b>"),
        ("&#13;&#0;", "\n\ufffd"),
        ("AT&T; &unknown; R&D", None),
    ],
)
def test_only_what_html_knows_is_taken_out(text: str, plain: str | None) -> None:
    outcome, tally = applied(f"A{text}Z", "markup")
    assert outcome == f"A{text if plain is None else plain}Z"
    assert bool(tally) == (plain is not None)


@pytest.mark.parametrize("text", ["<!--", '<a href="', "<p "])
def test_many_tags_that_are_never_closed_stay(text: str) -> None:
    assert applied(text * 20_000, "markup", max_characters=10**6) == (text * 20_000, {})


def test_many_scripts_that_are_never_closed_leave_nothing() -> None:
    outcome, tally = applied("<script>" * 20_000, "markup", max_characters=10**6)
    assert outcome == Drop("only_markup")
    assert tally == {"html_tags": 20_000}
