"""Encoding each different word once, and remembering it: several times as fast as whole texts.

It holds for vocabularies in which no piece reaches from a word over the next space, nor over a line
end: then what a word becomes does not depend on its neighbours. A word is a run of spaces with the
characters up to the next space, or a line end.

For BPE and single characters these are the ids that SentencePiece gives for the whole text. A
unigram's are the likeliest pieces of each word: SentencePiece adds up a whole text's scores in
float32, where what stands before a word can tip a near tie (4 in a million tokens of English). Of
a vocabulary of words, unknown words side by side stay one token each; SentencePiece makes them one.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise, repeat

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ids = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

SPACE, LINE_END = b" \n"
BATCH_BYTES = 8 << 20  # of text, worked on at once; the arrays beside it take ten times as many
REMEMBERED_CHARACTERS = 4 << 20  # of different words; about 100 MB with their ids


@dataclass(frozen=True)
class Encoded:
    """Ids of texts end to end: text i has ids[starts[i] : starts[i + 1]]."""

    ids: Ids
    starts: Places  # (texts + 1,)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, text: int) -> Ids:
        return self.ids[self.starts[text] : self.starts[text + 1]]

    def of_each(self) -> list[Ids]:
        return [self.ids[a:b] for a, b in pairwise(self.starts)]


def is_wordwise(pieces: Collection[str], space_mark: str) -> bool:
    """No piece reaches over a space or a line end, which is a piece itself."""
    return "\n" in pieces and not any(
        space_mark in piece.lstrip(space_mark) or " " in piece or ("\n" in piece and piece != "\n")
        for piece in pieces
    )


@dataclass
class _Memory:
    """The words encoded so far: word number n has ids[firsts[n] : firsts[n] + lengths[n]]."""

    numbers: dict[str, int] = field(default_factory=dict)
    firsts: Places = field(default_factory=lambda: np.zeros(0, np.int64))
    lengths: Places = field(default_factory=lambda: np.zeros(0, np.int64))
    ids: Ids = field(default_factory=lambda: np.zeros(0, np.int32))
    characters: int = 0

    def add(self, words: list[str], encoded: list[list[int]]) -> None:
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        firsts = len(self.ids) + np.cumsum(lengths) - lengths
        ids = np.fromiter(chain.from_iterable(encoded), np.int32)
        first = len(self.numbers)
        self.numbers.update(zip(words, range(first, first + len(words)), strict=True))
        self.firsts = np.concatenate([self.firsts, firsts])
        self.lengths = np.concatenate([self.lengths, lengths])
        self.ids = np.concatenate([self.ids, ids])
        self.characters += sum(map(len, words))


class WordwiseEncoder:
    """The ids of texts; `encode` gives those of each word."""

    def __init__(self, encode: Callable[[list[str]], list[list[int]]]) -> None:
        self._encode = encode
        self._memory = _Memory()

    def encode_all(self, texts: Sequence[str]) -> Encoded:
        contents = [text.encode("utf-8") for text in texts]
        starts = np.array([0, *accumulate(map(len, contents))])
        return self.encode_bytes(np.frombuffer(b"".join(contents), np.uint8), starts)

    def encode_bytes(self, content: Bytes, starts: Places) -> Encoded:
        """Of texts in UTF-8: text i is content[starts[i] : starts[i + 1]]."""
        ids, starts_in_ids, tokens = [np.zeros(0, np.int32)], [], 0
        begin = 0
        while begin < starts[-1]:
            end = _batch_end(content, starts, begin)
            inside = starts[np.searchsorted(starts, begin) : np.searchsorted(starts, end)]
            batch = self._encode_batch(content[begin:end], inside - begin)
            ids.append(batch.ids)
            starts_in_ids.append(tokens + batch.starts)
            tokens += len(batch.ids)
            begin = end
        at_end = len(starts) - sum(map(len, starts_in_ids))
        return Encoded(
            np.concatenate(ids), np.concatenate([*starts_in_ids, np.full(at_end, tokens)])
        )

    def _encode_batch(self, content: Bytes, starts_of_texts: Places) -> Encoded:
        starts_of_words = _word_starts(content, starts_of_texts)
        words = _strings(content, starts_of_words).dictionary_encode()
        known = self._known(words.dictionary.to_pylist())[words.indices.to_numpy()]
        memory = self._memory
        lengths = memory.lengths[known]
        ends = np.cumsum(lengths)
        starts = ends - lengths
        places = np.repeat(memory.firsts[known] - starts, lengths)
        places += np.arange(len(places))
        return Encoded(
            memory.ids[places], starts[np.searchsorted(starts_of_words, starts_of_texts)]
        )

    def _known(self, words: list[str]) -> Places:
        """The numbers of the words in the memory; new words are added."""
        if self._memory.characters > REMEMBERED_CHARACTERS:
            self._memory = _Memory()
        numbers = self._memory.numbers
        known = np.fromiter(map(numbers.get, words, repeat(-1)), np.int64, len(words))
        if len(new := np.flatnonzero(known < 0)):
            known[new] = len(numbers) + np.arange(len(new))
            new_words = [words[place] for place in new.tolist()]
            self._memory.add(new_words, self._encode(new_words))
        return known


def _batch_end(content: Bytes, starts: Places, begin: int) -> int:
    """Where a text begins, or in a long one a word, about BATCH_BYTES after `begin`."""
    end = begin + BATCH_BYTES
    while end < starts[-1]:
        text = int(starts[np.searchsorted(starts, end, "right") - 1])
        if text > begin:
            return text
        word = int(_word_starts(content[begin:end], np.zeros(1, int))[-2])
        if word > 0:
            return begin + word
        end += BATCH_BYTES
    return int(starts[-1])


def _word_starts(content: Bytes, starts_of_texts: Places) -> Places:
    """Where words begin, in bytes; a last entry is the end of the last one."""
    space, line_end = content == SPACE, content == LINE_END
    begins = np.zeros(len(content) + 1, bool)
    np.greater(space[1:], space[:-1], out=begins[1:-1])
    begins[:-1] |= line_end
    begins[1:] |= line_end
    begins[starts_of_texts] = True
    begins[-1] = True
    return np.flatnonzero(begins)


def _strings(content: Bytes, starts: Places) -> pa.Array:
    return pa.LargeStringArray.from_buffers(
        len(starts) - 1, pa.py_buffer(starts), pa.py_buffer(content)
    )
