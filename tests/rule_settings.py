"""Settings of clean with all rules, the published limits, and texts that the rules act on."""

from collections import Counter
from typing import Any

from reprise.params.clean import CleanParams
from reprise.rules import RULES, Drop, Tally, apply_rules, rules_of

PUBLISHED: dict[str, Any] = {
    "rules": list(RULES),
    "max_invalid_bytes_fraction": 0.001,
    "unicode_form": "NFC",
    "min_characters": 3,
    "max_characters": 20_000,
    "boilerplate": {
        "documents_with": ["lorem ipsum"],
        "lines_with": ["javascript", "use cookies"],
        "whole_lines": ["Home", "search", "contact us"],
        "citation_marks": True,
    },
    "language": {"languages": ["en"], "min_score": 0.65},
    "repetition": {
        "max_duplicate_line_fraction": 0.3,
        "max_duplicate_paragraph_fraction": 0.3,
        "max_duplicate_line_character_fraction": 0.2,
        "max_duplicate_paragraph_character_fraction": 0.2,
        "max_top_2_gram_fraction": 0.2,
        "max_top_3_gram_fraction": 0.18,
        "max_top_4_gram_fraction": 0.16,
        "max_duplicate_5_gram_fraction": 0.15,
        "max_duplicate_6_gram_fraction": 0.14,
        "max_duplicate_7_gram_fraction": 0.13,
        "max_duplicate_8_gram_fraction": 0.12,
        "max_duplicate_9_gram_fraction": 0.11,
        "max_duplicate_10_gram_fraction": 0.1,
    },
    "quality": {
        "min_words": 50,
        "max_words": 1000,
        "min_mean_word_characters": 3.0,
        "max_mean_word_characters": 10.0,
        "max_hashes_per_word": 0.1,
        "max_ellipses_per_word": 0.1,
        "max_bullet_line_fraction": 0.9,
        "max_ellipsis_line_fraction": 0.3,
        "min_word_with_letter_fraction": 0.8,
        "stop_words": ["the", "be", "to", "of", "and", "that", "have", "with"],
        "min_stop_words": 2,
    },
    "c4": {
        "end_marks_needed": True,
        "min_line_words": 5,
        "min_sentences": 3,
        "curly_brackets_allowed": False,
        "bad_words": ["badword", "坏词"],
    },
    "personal_data": {"cards": True, "mails": True, "ip_addresses": True, "phones": True},
    "drop_exact_duplicates": True,
    "near_duplicates": "drop",
    "shingle_words": 5,
    "minhash_bands": 20,
    "minhash_rows": 6,
    "near_duplicate_similarity": 0.8,
    "max_dropped_fraction": 0.5,
    "valid_fraction": 0.1,
    "test_fraction": 0.1,
    "split_seed": 1,
    "fraction": 1.0,
    "max_overlap": 0.05,
    "overlap_ngram_words": 13,
    "overlap_ngram_fraction": 0.8,
    "samples_per_reason": 2,
}


def settings(**changed: Any) -> CleanParams:
    """The published ones; a mapping changes some settings of its section."""
    merged = dict(PUBLISHED)
    for key, value in changed.items():
        merged[key] = PUBLISHED[key] | value if isinstance(value, dict) else value
    return CleanParams.model_validate(merged)


def applied(text: str, *rules: str, **changed: Any) -> tuple[str | Drop, Counter[str]]:
    """What the rules make of the text, and what they counted."""
    tally = Tally()
    outcome = apply_rules(text, rules_of(settings(rules=list(rules), **changed)), tally)
    return outcome, +tally


def words(count: int, size: int = 5, first: int = 0) -> list[str]:
    """Different words of `size` letters: aaaaa, aaaab, ..."""
    return [
        "".join(chr(97 + number // 26**place % 26) for place in reversed(range(size)))
        for number in range(first, first + count)
    ]
