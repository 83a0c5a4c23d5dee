"""Rules for one document's text: each mends it and counts what it mended, or says why to drop it.

`clean.rules` names them in their order. Around them always stand: what cannot be written as UTF-8
is mended first, and no longer text than `clean.max_characters` goes in or out.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from reprise.params.clean import CleanParams
from reprise.rules import boilerplate, c4, language, markup, mending, personal_data, quality
from reprise.rules import length as lengths
from reprise.rules import repetition as repetitions
from reprise.rules.base import Drop, Rule, Tally

__all__ = ["Drop", "Rule", "Tally", "apply_rules", "changes_of", "reasons_of", "rules_of"]


@dataclass(frozen=True)
class Entry:
    """A name in clean.rules: the rule, all its reasons to drop, all it can add to the tally."""

    build: Callable[[CleanParams], Rule]
    reasons: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def _plain(rule: Rule, change: str) -> Entry:
    return Entry(lambda params: rule, changes=(change,))


RULES = {
    "encoding": _plain(mending.mend_encoding, "lines_in_wrong_encoding"),
    "control_characters": _plain(mending.without_controls, "control_characters"),
    "unicode": Entry(
        lambda params: partial(mending.in_unicode_form, params.unicode_form),
        changes=("documents_in_other_unicode_form",),
    ),
    "space_marks": _plain(mending.without_space_marks, "u2581_to_underscore"),
    "trailing_blanks": _plain(mending.without_trailing_blanks, "documents_with_trailing_blanks"),
    "outer_lines": _plain(mending.without_outer_lines, "documents_with_blank_outer_lines"),
    "markup": Entry(lambda params: markup.without_markup, markup.REASONS, markup.CHANGES),
    "boilerplate": Entry(
        lambda params: boilerplate.rule(params.boilerplate),
        boilerplate.REASONS,
        boilerplate.CHANGES,
    ),
    "length": Entry(
        lambda params: partial(lengths.within, params.min_characters, params.max_characters),
        lengths.REASONS,
    ),
    "language": Entry(
        lambda params: partial(language.in_language, params.language), language.REASONS
    ),
    "repetition": Entry(
        lambda params: partial(repetitions.not_repetitive, params.repetition),
        repetitions.REASONS,
    ),
    "quality": Entry(lambda params: quality.rule(params.quality), quality.REASONS),
    "c4": Entry(lambda params: c4.rule(params.c4), c4.REASONS, c4.CHANGES),
    "personal_data": Entry(
        lambda params: partial(personal_data.masked, params.personal_data),
        changes=personal_data.CHANGES,
    ),
}
TOO_LONG = lengths.REASONS[:1]


def rules_of(params: CleanParams) -> tuple[Rule, ...]:
    """What is done to each document, in this order."""
    limit = partial(lengths.within, 0, params.max_characters)
    named = [RULES[name].build(params) for name in params.rules]
    return (mending.unify_line_ends, mending.without_surrogates, limit, *named, limit)


def apply_rules(text: str, rules: Iterable[Rule], tally: Tally) -> str | Drop:
    """The text as the rules leave it, or the first reason to drop it.

    What was mended before a document was dropped stays in the tally.
    """
    for rule in rules:
        outcome = rule(text, tally)
        if isinstance(outcome, Drop):
            return outcome
        text = outcome
    return text


def reasons_of(params: CleanParams) -> tuple[str, ...]:
    """All reasons that the rules can give, in their order."""
    reasons = (reason for name in params.rules for reason in RULES[name].reasons)
    return tuple(dict.fromkeys((*TOO_LONG, *reasons)))


def changes_of(params: CleanParams) -> tuple[str, ...]:
    """All that the rules can add to the tally, in their order."""
    changes = (change for name in params.rules for change in RULES[name].changes)
    return ("line_ends", "lone_surrogates", *changes)
