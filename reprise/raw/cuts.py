"""Where a stream of bytes may be cut: behind whole documents, told piece by piece.

Only what cutting needs is told: the first place in what was not yet looked at, behind which
reading can go on after a document that is too long, and the last, where a shard can end.
"""

import re
from collections.abc import Iterator

from reprise.raw.sources import Source

OVERLAP_BYTES = 256  # looked at again with the next piece, for a cut may lie across

# A \r that comes last may be half of \r\n.
_LINE_END = rb"(?:\r\n|\n|\r(?!\n|\Z))"
_BLANK_LINE = rb"[ \t]*" + _LINE_END
# WikiText's ` = Title = `, but not ` = = Section = = `; blank lines before and after tell it from
# lines of tables and formulas.
HEADING = r" = (?!= )[^\r\n]+(?<! =) =[ \t]*"
_PATTERNS = {
    "line": re.compile(_LINE_END),
    "paragraph": re.compile(_LINE_END + rb"(?:[ \t]*" + _LINE_END + rb")+"),
    "article": re.compile(
        _LINE_END + _BLANK_LINE + rb"(?=" + HEADING.encode() + _LINE_END + _BLANK_LINE + rb")"
    ),
}


class Cuts:
    """No cuts: the file is one document."""

    def cuts(self, piece: bytes) -> tuple[int, int] | None:
        """(first, last) of the cuts beyond those told before; bytes from the file's beginning."""
        return None

    def is_complete(self) -> bool:
        """Whether the file may end behind the pieces given; to be asked once, at its end."""
        return True


def cuts_in(source: Source) -> Cuts:
    if source.format == "csv":
        return RecordCuts(source.delimiter)
    if source.format == "jsonl":
        return PatternCuts(_PATTERNS["line"])
    if source.format != "text" or source.document == "file":
        return Cuts()
    if source.document == "article":
        # The first heading is no cut, for the lines before it belong to the first document. The
        # line ends before the file's first byte let a heading be seen there.
        return PatternCuts(_PATTERNS["article"], before=b"\n\n", skip_first=True)
    return PatternCuts(_PATTERNS[source.document])


class PatternCuts(Cuts):
    """Cuts are where matches of a pattern end."""

    def __init__(
        self, pattern: re.Pattern[bytes], before: bytes = b"", skip_first: bool = False
    ) -> None:
        self._pattern = pattern
        self._skip_first = skip_first
        self._tail = before
        self._start = self._told = -len(before)  # of the tail; of what is not yet looked at

    def cuts(self, piece: bytes) -> tuple[int, int] | None:
        text = self._tail + piece
        start = self._start
        first = self._pattern.search(text, max(0, self._told - start))
        if first and self._skip_first:
            self._skip_first = False
            self._told = start + first.end()
            first = self._pattern.search(text, first.end())
        last = first and self._last(text, first)
        self._tail = text[-OVERLAP_BYTES:]
        self._start += len(text) - len(self._tail)
        if not (first and last):
            return None
        self._told = start + last.end()
        return start + first.end(), self._told

    def _last(self, text: bytes, first: re.Match[bytes]) -> re.Match[bytes]:
        width = 1 << 12
        while True:
            start = max(first.end(), len(text) - width)
            *_, last = first, *self._pattern.finditer(text, start)
            if last is not first or start == first.end():
                return last
            width <<= 4


class RecordCuts(Cuts):
    """Cuts are the ends of CSV's records: line ends that are in no quoted field."""

    def __init__(self, delimiter: str) -> None:
        inside = rb'[^"]*+(?:""[^"]*+)*+(?:"|(?P<open>\Z))'
        self._rest_of_field = re.compile(inside)
        # As Python's csv has it, a quote elsewhere than at the beginning of a field is a character.
        self._field = re.compile(rb'"(?<![^\r\n' + delimiter.encode() + rb']")' + inside)
        self._in_quotes = False
        self._tail = b"\n"  # one byte that was looked at, and what could not yet be told
        self._start = -1

    def cuts(self, piece: bytes) -> tuple[int, int] | None:
        text = self._tail + piece
        start = self._start
        end = len(text.rstrip(b'"\r'))  # half of "" or \r\n may come last
        parts = list(self._unquoted(text, end))
        self._tail = text[end - 1 :]
        self._start += end - 1
        first = next((found for part in parts if (found := _first_line_end(text, *part))), None)
        last = next(
            (found for part in reversed(parts) if (found := _last_line_end(text, *part))), None
        )
        return (start + first, start + last) if first and last else None

    def _unquoted(self, text: bytes, end: int) -> Iterator[tuple[int, int]]:
        """The parts of text[1:end] outside quoted fields; remembers whether it ends inside one."""
        place = 1
        if self._in_quotes:
            rest = self._rest_of_field.match(text, place, end)
            assert rest
            place = rest.end()
            self._in_quotes = rest["open"] is not None
        for field in self._field.finditer(text, place, end):
            yield place, field.start()
            place = field.end()
            self._in_quotes = field["open"] is not None
        yield place, end

    def is_complete(self) -> bool:
        for _ in self._unquoted(self._tail, len(self._tail)):
            pass
        return not self._in_quotes


def _first_line_end(text: bytes, start: int, end: int) -> int | None:
    found = [place for mark in (b"\n", b"\r") if (place := text.find(mark, start, end)) >= 0]
    if not found:
        return None
    place = min(found)
    return place + 1 + (text[place : place + 2] == b"\r\n")


def _last_line_end(text: bytes, start: int, end: int) -> int | None:
    place = max(text.rfind(mark, start, end) for mark in (b"\n", b"\r"))
    return place + 1 if place >= 0 else None
