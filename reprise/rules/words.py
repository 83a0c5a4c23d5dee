"""What several rules look at, worked out once for a text: its words, lines and paragraphs."""

import re
from functools import lru_cache

_BETWEEN_PARAGRAPHS = re.compile(r"\n(?:[ \t]*+\n)++")


@lru_cache(maxsize=1)
def words_of(text: str) -> tuple[str, ...]:
    """What blanks separate."""
    return tuple(text.split())


@lru_cache(maxsize=1)
def lines_of(text: str) -> tuple[str, ...]:
    """The lines without outer blanks; blank lines are left out."""
    return tuple(filter(None, map(str.strip, text.split("\n"))))


def paragraphs_of(text: str) -> list[str]:
    """What blank lines separate, without outer blanks."""
    return list(filter(None, map(str.strip, _BETWEEN_PARAGRAPHS.split(text))))
