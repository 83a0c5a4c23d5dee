"""Encoding each different word once: twice as fast as whole texts for BPE, and the same ids.

It holds for vocabularies in which no piece reaches from a word over the next space, nor over a line
end: then what a word becomes does not depend on its neighbours. A word is a run of spaces with the
characters up to the next space, or a line end.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ids = npt.NDArray[np.int32]

WORDS_A_CALL = 512  # SentencePiece takes a few microseconds a call, and sorts within one
SPACE, LINE_END = b" \n"


def is_wordwise(pieces: Sequence[str], space_mark: str) -> bool:
    """No piece reaches over a space or a line end."""
    return not any(
        space_mark in piece.lstrip(space_mark) or " " in piece or ("\n" in piece and piece != "\n")
        for piece in pieces
    )


def encode_wordwise(
    texts: Sequence[str], encode: Callable[[list[str]], list[Ids]], line_end_id: int
) -> list[Ids]:
    """The ids of each text; `encode` gives those of any texts."""
    contents = [text.encode("utf-8") for text in texts]
    starts_of_texts = np.array([0, *accumulate(map(len, contents))])
    content = b"".join(contents)
    if not content:
        return [np.zeros(0, np.int32) for _ in texts]
    word_starts = _word_starts(content, starts_of_texts)
    words = _strings(content, word_starts).dictionary_encode()
    ids, first, length = _ids_of_words(words.dictionary.to_pylist(), encode, line_end_id)
    index = words.indices.to_numpy()
    lengths = length[index]
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1]) + np.repeat(first[index] - (ends - lengths), lengths)
    bounds = np.concatenate([[0], ends])[np.searchsorted(word_starts, starts_of_texts)]
    joined = ids[places]
    return [joined[a:b] for a, b in pairwise(bounds)]


def _word_starts(content: bytes, starts_of_texts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where words begin, in bytes; a last entry is the end of the last one."""
    characters = np.frombuffer(content, np.uint8)
    space, line_end = characters == SPACE, characters == LINE_END
    begins = np.zeros(len(content) + 1, bool)
    begins[:-1] = line_end
    begins[1:] |= line_end
    begins[1:-1] |= space[1:] & ~space[:-1]
    begins[starts_of_texts] = True
    return np.flatnonzero(begins)


def _strings(content: bytes, starts: npt.NDArray[np.int64]) -> pa.Array:
    return pa.LargeStringArray.from_buffers(
        len(starts) - 1, pa.py_buffer(starts), pa.py_buffer(content)
    )


def _ids_of_words(
    words: list[str], encode: Callable[[list[str]], list[Ids]], line_end_id: int
) -> tuple[Ids, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All words' ids end to end, and where each word's begin and how many they are.

    Words are handed over a few hundred a call, a line end after each. A line end as a word is
    handed over as nothing, so that its id is the one that follows.
    """
    handed = ["" if word == "\n" else word for word in words]
    calls = [handed[i : i + WORDS_A_CALL] for i in range(0, len(handed), WORDS_A_CALL)]
    ids = np.concatenate(encode(["\n".join([*call, ""]) for call in calls]))
    separators = np.flatnonzero(ids == line_end_id)
    first = np.concatenate([[0], separators[:-1] + 1])
    length = separators - first
    length[[i for i, word in enumerate(words) if word == "\n"]] = 1
    return ids, first, length
