"""Documents that are too short or too long."""

from reprise.rules.base import Drop, Tally

REASONS = ("too_many_characters", "too_few_characters")


def within(least: int, most: int, text: str, tally: Tally) -> str | Drop:
    if len(text) > most:
        return Drop("too_many_characters")
    if len(text) < least:
        return Drop("too_few_characters")
    return text
