"""Rules for one document's text: repairs, which count what they mend, and reasons to drop it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Literal

from reprise.params.clean import CleanParams
from reprise.raw import unified_line_ends

Repair = Callable[[str], tuple[str, int]]  # text -> (text, how much was mended)

REASONS = ("too_few_characters", "too_many_characters", "exact_duplicate")

# All controls but tab and newline; U+0080 to U+009F are the controls of Latin-1.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def without_surrogates(text: str) -> tuple[str, int]:
    """Halves of UTF-16 pairs, which no UTF-8 can hold, become U+FFFD."""
    return _SURROGATES.subn("\ufffd", text)


def without_controls(text: str) -> tuple[str, int]:
    """NUL and the other control characters but tab and newline are taken out."""
    return _CONTROLS.subn("", text)


def without_space_marks(text: str) -> tuple[str, int]:
    """U+2581, the sign that SentencePiece puts for a space and gives back as one, becomes "_"."""
    return text.replace("\u2581", "_"), text.count("\u2581")


def in_unicode_form(form: Literal["none", "NFC", "NFKC"]) -> Repair:
    def repair(text: str) -> tuple[str, int]:
        if form == "none" or unicodedata.is_normalized(form, text):
            return text, 0
        return unicodedata.normalize(form, text), 1

    return repair


def without_outer_blanks(text: str) -> tuple[str, int]:
    """No blanks at the ends of lines, no blank lines at the ends of the text; indents stay."""
    trimmed = "\n".join([line.rstrip(" \t") for line in text.split("\n")]).strip("\n")
    return trimmed, int(trimmed != text)


def repairs(params: CleanParams) -> tuple[tuple[str, Repair], ...]:
    """What is mended, in this order. Names say what is counted."""
    return (
        ("line_ends", unified_line_ends),
        ("lone_surrogates", without_surrogates),
        ("control_characters", without_controls),
        ("u2581_to_underscore", without_space_marks),
        ("documents_in_other_unicode_form", in_unicode_form(params.unicode_form)),
        ("documents_with_outer_blanks", without_outer_blanks),
    )


def repaired(text: str, params: CleanParams, counts: Counter[str]) -> str:
    for name, repair in repairs(params):
        text, found = repair(text)
        counts[name] += found
    return text


def reason_to_drop(text: str, params: CleanParams) -> str | None:
    if len(text) < params.min_characters:
        return "too_few_characters"
    if len(text) > params.max_characters:
        return "too_many_characters"
    return None
