"""What a rule is."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

Tally = Counter[str]  # what was mended -> how often


@dataclass(frozen=True)
class Drop:
    """A document goes, for this reason."""

    reason: str


# The text, perhaps mended, or why to drop it. Pure but for what it adds to the tally.
Rule = Callable[[str, Tally], str | Drop]
