"""Rules that mend characters and blanks, and never drop. Most return at once for ASCII."""

import re
import unicodedata
from typing import Literal

from reprise.rules.base import Tally

_SURROGATES = re.compile("[\ud800-\udfff]")
# All controls but tab and newline; U+0080 to U+009F are the controls of Latin-1.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ASCII_CONTROLS = bytes({*range(32), 127} - {9, 10})


def unify_line_ends(text: str, tally: Tally) -> str:
    """CRLF and CR become LF."""
    found = text.count("\r")
    if not found:
        return text
    tally["line_ends"] += found
    return text.replace("\r\n", "\n").replace("\r", "\n")


def without_surrogates(text: str, tally: Tally) -> str:
    """Halves of UTF-16 pairs, which no UTF-8 can hold, become U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text, found = _SURROGATES.subn("\ufffd", text)
        tally["lone_surrogates"] += found
    return text


# Curly quotes, dashes and the ellipsis. Alone they tell of no wrong encoding: in each encoding they
# stand for first bytes of UTF-8 or for later ones, never for both. Most English texts hold no other
# signs, and looking for others is faster than ftfy by far.
_NEITHER_ASCII_NOR_QUOTE = re.compile("[^\x00-\x7f\u2013\u2014\u2018\u2019\u201c\u201d\u2026]")


def mend_encoding(text: str, tally: Tally) -> str:
    """Lines that were decoded as another encoding than they were written in are set right.

    "schÃ¶n" becomes "schön". Nothing else that ftfy knows to mend is done.
    """
    if text.isascii() or not _NEITHER_ASCII_NOR_QUOTE.search(text):
        return text
    from ftfy import fix_encoding  # 0.1 s, for those only who need it
    from ftfy.badness import is_bad

    if not is_bad(text):
        return text
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if is_bad(line):
            lines[index] = fix_encoding(line)
            tally["lines_in_wrong_encoding"] += lines[index] != line
    return "\n".join(lines)


def without_controls(text: str, tally: Tally) -> str:
    """NUL and the other control characters but tab and newline are taken out."""
    if text.isascii():
        content = text.encode("ascii")
        kept = content.translate(None, _ASCII_CONTROLS)
        if len(kept) == len(content):
            return text
        tally["control_characters"] += len(content) - len(kept)
        return kept.decode("ascii")
    text, found = _CONTROLS.subn("", text)
    if found:
        tally["control_characters"] += found
    return text


def in_unicode_form(form: Literal["NFC", "NFKC"], text: str, tally: Tally) -> str:
    if text.isascii() or unicodedata.is_normalized(form, text):
        return text
    tally["documents_in_other_unicode_form"] += 1
    return unicodedata.normalize(form, text)


def without_space_marks(text: str, tally: Tally) -> str:
    """U+2581, the sign that SentencePiece puts for a space and gives back as one, becomes "_"."""
    if "\u2581" not in text:
        return text
    tally["u2581_to_underscore"] += text.count("\u2581")
    return text.replace("\u2581", "_")


def without_trailing_blanks(text: str, tally: Tally) -> str:
    """No blanks at the ends of lines; the lines stay as many as they were."""
    if not (" \n" in text or "\t\n" in text or text.endswith((" ", "\t"))):
        return text
    tally["documents_with_trailing_blanks"] += 1
    return "\n".join([line.rstrip(" \t") for line in text.split("\n")])


def without_outer_lines(text: str, tally: Tally) -> str:
    """No blank lines at the ends of the text; the indent of its first line stays."""
    start = len(text) - len(text.lstrip(" \t\n"))
    start = text.rfind("\n", 0, start) + 1
    end = text.find("\n", len(text.rstrip(" \t\n")))
    trimmed = text[start : end if end >= start else None]
    if len(trimmed) == len(text):
        return text
    tally["documents_with_blank_outer_lines"] += 1
    return trimmed if trimmed.strip(" \t") else ""
