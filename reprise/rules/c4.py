"""The rules of C4 for web pages, but those in `boilerplate`.

Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer", JMLR 21(140), section 2.2. A sentence ends at an end mark before a blank or the end
of its line; C4 itself asked NLTK.
"""

import re
from functools import partial

from reprise.params.clean import C4
from reprise.rules.base import Drop, Rule, Tally

REASONS = ("with_curly_bracket", "with_bad_word", "no_good_lines", "too_few_sentences")
CHANGES = ("lines_without_end_mark", "lines_with_too_few_words")
END_MARKS = (".", "!", "?", '"', "”", "’", "»", "。", "！", "？", "」", "』")  # noqa: RUF001
ELLIPSES = ("...", "…")
_SENTENCE_END = re.compile(r"""[.!?]++(?=["'”’»)\]]*+(?:\s|\Z))|[。！？]++""")  # noqa: RUF001
_NO_WORD_ENDS_FROM = "\u2e80"  # Chinese, Japanese and Korean write words without blanks


def rule(params: C4) -> Rule:
    words = sorted(params.bad_words, key=len, reverse=True)
    pattern = re.compile("|".join(map(_whole_word, words)), re.IGNORECASE) if words else None
    return partial(like_c4, params, pattern)


def _whole_word(word: str) -> str:
    before = r"(?<!\w)" if word[0] < _NO_WORD_ENDS_FROM else ""
    after = r"(?!\w)" if word[-1] < _NO_WORD_ENDS_FROM else ""
    return before + re.escape(word) + after


def like_c4(params: C4, bad_words: re.Pattern[str] | None, text: str, tally: Tally) -> str | Drop:
    if not params.curly_brackets_allowed and "{" in text:
        return Drop("with_curly_bracket")
    if bad_words and bad_words.search(text):
        return Drop("with_bad_word")
    text = _good_lines(params, text, tally)
    if not text.strip():
        return Drop("no_good_lines")
    if params.min_sentences and len(_SENTENCE_END.findall(text)) < params.min_sentences:
        return Drop("too_few_sentences")
    return text


def _good_lines(params: C4, text: str, tally: Tally) -> str:
    """The lines that end a sentence and are long enough, and the blank lines."""
    kept = []
    for line in text.split("\n"):
        stripped = line.rstrip()
        if stripped and params.end_marks_needed and not _ends_sentence(stripped):
            tally["lines_without_end_mark"] += 1
        elif stripped and len(stripped.split()) < params.min_line_words:
            tally["lines_with_too_few_words"] += 1
        else:
            kept.append(line)
    return "\n".join(kept)


def _ends_sentence(line: str) -> bool:
    return line.endswith(END_MARKS) and not line.endswith(ELLIPSES)
