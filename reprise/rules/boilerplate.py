"""Lines that a web site puts around its texts, by the rules of C4 and by lists in the settings.

Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer", JMLR 21(140), section 2.2: lines with the word Javascript or of cookie and policy
notices, citation markers such as [1], and whole pages with "lorem ipsum".
"""

import re
from functools import partial

from reprise.params.clean import Boilerplate
from reprise.rules.base import Drop, Rule, Tally

REASONS = ("with_placeholder_text", "only_boilerplate")
CHANGES = ("boilerplate_lines", "citation_marks")
_CITATION_MARK = re.compile(r"\[(?:[0-9]{1,3}|edit|citation needed)\]")
_BETWEEN_ITEMS = re.compile(r"[|»\u203a>•·]")  # of a menu on one line
_OUTER_SIGNS = " \t.:!…*-\u2013—[]()"


def rule(params: Boilerplate) -> Rule:
    lists = (params.documents_with, params.lines_with, params.whole_lines)
    documents, lines, whole = (tuple(map(str.lower, phrases)) for phrases in lists)
    items = frozenset(phrase.strip(_OUTER_SIGNS) for phrase in whole) - {""}
    return partial(without_boilerplate, documents, lines, items, params.citation_marks)


def without_boilerplate(
    documents_with: tuple[str, ...],
    lines_with: tuple[str, ...],
    items: frozenset[str],
    citation_marks: bool,
    text: str,
    tally: Tally,
) -> str | Drop:
    lowered = text.lower()
    if any(phrase in lowered for phrase in documents_with):
        return Drop("with_placeholder_text")
    phrases = [phrase for phrase in lines_with if phrase in lowered]
    lines = text.split("\n")
    kept = [line for line in lines if not _is_boilerplate(line.lower(), phrases, items)]
    if len(kept) < len(lines):
        tally["boilerplate_lines"] += len(lines) - len(kept)
        if not any(map(str.strip, kept)):
            return Drop("only_boilerplate")
        text = "\n".join(kept)
    if citation_marks:
        text, found = _CITATION_MARK.subn("", text)
        tally["citation_marks"] += found
    return text


def _is_boilerplate(line: str, phrases: list[str], items: frozenset[str]) -> bool:
    if any(phrase in line for phrase in phrases):
        return True
    parts = _BETWEEN_ITEMS.split(line.strip(_OUTER_SIGNS))
    return all(part.strip(_OUTER_SIGNS) in items for part in parts)
