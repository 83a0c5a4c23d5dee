"""Documents that do not look like prose, by the heuristics of Gopher.

Rae et al. 2021, "Scaling Language Models", arXiv 2112.11446, section A.1.
"""

import re
from functools import partial

from reprise.params.clean import Quality
from reprise.rules.base import Drop, Rule, Tally
from reprise.rules.words import lines_of, words_of

REASONS = (
    "too_few_words",
    "too_many_words",
    "too_short_words",
    "too_long_words",
    "too_many_hashes",
    "too_many_ellipses",
    "too_many_bullet_lines",
    "too_many_ellipsis_lines",
    "too_few_words_with_letters",
    "too_few_stop_words",
)
BULLETS = ("•", "‣", "◦", "▪", "*", "-")
ELLIPSES = ("...", "…")
_LETTER = re.compile(r"[^\W\d_]")


def rule(params: Quality) -> Rule:
    return partial(like_prose, params, frozenset(map(str.lower, params.stop_words)))


def like_prose(params: Quality, stop_words: frozenset[str], text: str, tally: Tally) -> str | Drop:
    reason = _words_at_fault(params, stop_words, text) or _lines_at_fault(params, text)
    return Drop(reason) if reason else text


def _words_at_fault(params: Quality, stop_words: frozenset[str], text: str) -> str | None:
    words = words_of(text)
    if len(words) < params.min_words:
        return "too_few_words"
    if len(words) > params.max_words:
        return "too_many_words"
    mean = sum(map(len, words)) / len(words)
    if mean < params.min_mean_word_characters:
        return "too_short_words"
    if mean > params.max_mean_word_characters:
        return "too_long_words"
    if text.count("#") > params.max_hashes_per_word * len(words):
        return "too_many_hashes"
    if sum(map(text.count, ELLIPSES)) > params.max_ellipses_per_word * len(words):
        return "too_many_ellipses"
    needed = params.min_word_with_letter_fraction * len(words)
    # Most words are letters alone, which is quick to tell.
    if sum(map(str.isalpha, words)) < needed and sum(map(has_letter, words)) < needed:
        return "too_few_words_with_letters"
    found = stop_words.intersection(words)
    if len(found) < params.min_stop_words:  # perhaps they have capitals
        found = stop_words.intersection(map(str.lower, words))
    return "too_few_stop_words" if len(found) < params.min_stop_words else None


def has_letter(word: str) -> bool:
    return _LETTER.search(word) is not None


def _lines_at_fault(params: Quality, text: str) -> str | None:
    lines = lines_of(text)
    bullets = sum(line.startswith(BULLETS) for line in lines)
    if bullets > params.max_bullet_line_fraction * len(lines):
        return "too_many_bullet_lines"
    ellipses = sum(line.endswith(ELLIPSES) for line in lines)
    if ellipses > params.max_ellipsis_line_fraction * len(lines):
        return "too_many_ellipsis_lines"
    return None
