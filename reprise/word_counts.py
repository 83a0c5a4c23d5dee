"""Words of texts as `len(text.split())` counts them, in NumPy: several times as fast."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

CHUNK_BYTES = (
    1 << 19
)  # of documents, worked on at once: so the arrays stay in the processor's cache

_BLANKS = [chr(code).encode() for code in range(0x3001) if chr(code).isspace()]
_BLANK, _MAYBE = 1, 2
_KINDS = np.zeros(256, np.uint8)  # of a character, by its first byte
_KINDS[[blank[0] for blank in _BLANKS]] = _MAYBE
_KINDS[[blank[0] for blank in _BLANKS if len(blank) == 1]] = _BLANK
_TABLE = _KINDS.tobytes()
_TWO, _THREE = (
    np.array([int.from_bytes(blank) for blank in _BLANKS if len(blank) == size]) for size in (2, 3)
)


def word_counts(texts: pa.StringArray) -> npt.NDArray[np.int64]:
    """Of each text: its runs of characters between blanks of any kind (str.isspace)."""
    _, offsets, content = texts.buffers()
    starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    characters = np.frombuffer(content or b"", np.uint8)
    first, counts = 0, [np.zeros(0, np.int64)]
    while first < len(texts):
        last = int(np.searchsorted(starts, starts[first] + CHUNK_BYTES))
        last = min(max(last, first + 1), len(texts))
        of_chunk = starts[first : last + 1]
        counts.append(_counts(characters[of_chunk[0] : of_chunk[-1]], of_chunk - of_chunk[0]))
        first = last
    return np.concatenate(counts)


def _counts(characters: npt.NDArray[np.uint8], starts: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    kinds = np.frombuffer(characters.tobytes().translate(_TABLE), np.uint8)
    blank = kinds == _BLANK
    if len(places := np.flatnonzero(kinds == _MAYBE)):
        _mark_longer_blanks(blank, characters, places)
    begins = ~blank
    begins[1:] &= blank[:-1]
    at_starts = starts[:-1][starts[:-1] < len(characters)]
    begins[at_starts] = ~blank[at_starts]
    return np.diff(np.searchsorted(np.flatnonzero(begins), starts))


def _mark_longer_blanks(
    blank: npt.NDArray[np.bool_],
    characters: npt.NDArray[np.uint8],
    places: npt.NDArray[np.int64],
) -> None:
    """Set the bytes of the blanks of two and three bytes that begin at some of the places."""
    end = len(characters) - 1
    one, two, three = (characters[np.minimum(places + i, end)].astype(np.int64) for i in range(3))
    of_two = places[np.isin(one << 8 | two, _TWO)]
    of_three = places[np.isin(one << 16 | two << 8 | three, _THREE)]
    for found, size in ((of_two, 2), (of_three, 3)):
        for i in range(size):
            blank[found + i] = True
