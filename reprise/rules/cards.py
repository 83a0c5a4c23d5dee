"""Card numbers, told by their length, their groups and their check digit."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from reprise.rules.signs import BLANK, DASH, DOT

_LINE_END = (
    rf"[{DASH}]?[ \t]{{0,16}}+\n[ \t]{{0,16}}+"  # a number may go over lines, and these be indented
)
_DIGIT_RUN = re.compile(rf"\d(?:(?:[{DASH}{DOT}]|{_LINE_END}|[{BLANK}])?\d){{12,}}+")
_DIGITS = re.compile(r"\d+")
# Digits in each group; the longer before the shorter that it begins with.
_SHAPES = (
    *((4, 4, 4, 4, last) for last in (3, 2, 1)),
    (4, 4, 4, 4),
    *((4, 4, 4, last) for last in (3, 2, 1)),
    (4, 6, 5),
    (4, 6, 4),
    (4, 5, 6),
    (4, 4, 5),
    (6, 13),
)
_BRAND = re.compile("[3-6]|2[2-7]|9792")  # how the numbers of banks and credit cards begin

_BOOK = re.compile("97[89]")
_TIME = re.compile(  # 20240501103000
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\d"
)

Group = re.Match[str]  # digits side by side


def card_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Where each card number begins and ends."""
    for run in _DIGIT_RUN.finditer(text):
        groups = list(_DIGITS.finditer(text, run.start(), run.end()))
        index = 0
        while index < len(groups):
            size = _card_groups(text, groups, index)
            if size:
                yield groups[index].start(), groups[index + size - 1].end()
            index += size or 1


def _card_groups(text: str, groups: Sequence[Group], index: int) -> int:
    """How many groups from this one on are a card's number; 0 if none."""
    lengths = tuple(len(group[0]) for group in groups[index : index + 5])
    if 13 <= lengths[0] <= 19:
        number = groups[index][0]
        fraction = index > 0 and text[groups[index - 1].end() : groups[index].start()] == "."
        return int(passes_luhn(number) and not fraction and not _is_other(number))
    for shape in _SHAPES:
        if lengths[: len(shape)] == shape:
            end = index + len(shape)
            number = "".join(group[0] for group in groups[index:end])
            column = all("\n" in gap for gap in _gaps(text, groups[index:end]))
            likely = _has_brand(number) and not column
            if passes_luhn(number) and (likely or _is_alone(text, groups, index, end)):
                return len(shape)
    return 0


def _is_alone(text: str, groups: Sequence[Group], first: int, end: int) -> bool:
    """No row of an array: no square bracket and no further group beside groups[first:end].

    Groups on other lines count only where the number itself goes over lines.
    """
    start, stop = groups[first].start(), groups[end - 1].end()
    if text[max(0, start - 1) : start] == "[" or text[stop : stop + 1] == "]":
        return False
    gaps = _gaps(text, groups[max(0, first - 1) : first + 1])
    gaps += _gaps(text, groups[end - 1 : end + 1])
    return all("\n" in gap for gap in gaps) and not (gaps and "\n" in text[start:stop])


def _gaps(text: str, groups: Sequence[Group]) -> list[str]:
    """What stands between the groups."""
    return [text[a.end() : b.start()] for a, b in pairwise(groups)]


def _has_brand(number: str) -> bool:
    return _BRAND.match("".join(str(int(digit)) for digit in number[:4])) is not None


def passes_luhn(number: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B: each second from the right is doubled."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = sum(2 * digit - 9 * (digit > 4) for digit in digits[1::2])
    return (sum(digits[::2]) + doubled) % 10 == 0


def _is_other(number: str) -> bool:
    """A book's number, by its prefix and its own check digit; or a date with its time."""
    digits = [int(digit) for digit in number]
    isbn = len(digits) == 13 and (sum(digits) + 2 * sum(digits[1::2])) % 10 == 0
    return (isbn and _BOOK.match(number) is not None) or _TIME.fullmatch(number) is not None
