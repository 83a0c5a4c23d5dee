"""Encoding each different word once, and remembering it: several times as fast as whole texts.

It holds for vocabularies in which no piece reaches from a word over the next space, nor over a line
end: then what a word becomes does not depend on its neighbours. A word is a run of spaces with the
characters up to the next space, or a line end.

For BPE and single characters these are the ids that SentencePiece gives for the whole text. A
unigram's are the likeliest pieces of each word: SentencePiece adds up a whole text's scores in
float32, where what stands before a word can tip a near tie (4 in a million tokens of English). Of
a vocabulary of words, unknown words side by side stay one token each; SentencePiece makes them one.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice, pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reprise.arrow import arrow_of, numpy_of

Ids = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

SPACE, LINE_END = b" \n"
SPACE_MARK = "\u2581"  # what SentencePiece writes for a space, and in a text takes for one
CHUNK_BYTES = 1 << 18  # of text; the arrays beside it stay in the processor's cache
CHUNKS_A_BATCH = 32  # whose words are looked up in the memory together
REMEMBERED_BYTES = 8 << 20  # of different words, with 4 for each; beside them come their ids


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


def is_wordwise(pieces: Collection[str]) -> bool:
    """No piece reaches over a space or a line end, which is a piece itself."""
    return "\n" in pieces and not any(
        SPACE_MARK in piece.lstrip(SPACE_MARK) or " " in piece or ("\n" in piece and piece != "\n")
        for piece in pieces
    )


@dataclass
class _Memory:
    """The words encoded so far, and the ids of each."""

    words: pa.StringArray = field(default_factory=lambda: pa.nulls(0, pa.string()))
    ids: pa.ListArray = field(default_factory=lambda: pa.nulls(0, pa.list_(pa.int32())))

    def add(self, words: pa.StringArray, encoded: list[list[int]]) -> None:
        starts = np.fromiter(accumulate(map(len, encoded), initial=0), np.int32, len(encoded) + 1)
        ids = np.fromiter(chain.from_iterable(encoded), np.int32, int(starts[-1]))
        of_words = pa.ListArray.from_arrays(arrow_of(starts), arrow_of(ids))
        self.words = pa.concat_arrays([self.words, words])
        self.ids = pa.concat_arrays([self.ids, of_words])


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
        chunks = _chunks(content, starts)
        while batch := list(islice(chunks, CHUNKS_A_BATCH)):
            for encoded in self._encode_batch(batch):
                ids.append(encoded.ids)
                starts_in_ids.append(tokens + encoded.starts)
                tokens += len(encoded.ids)
        at_end = len(starts) - sum(map(len, starts_in_ids))
        return Encoded(
            np.concatenate(ids), np.concatenate([*starts_in_ids, np.full(at_end, tokens)])
        )

    def uses(self, content: Bytes, starts: Places, ids: int) -> npt.NDArray[np.int64]:
        """How often each of so many ids comes in the texts: faster still, nothing is remembered."""
        found = [
            _strings(chunk, _word_starts(chunk, inside))
            for chunk, inside in _chunks(content, starts)
        ]
        counted = pa.chunked_array(found, pa.string()).value_counts()
        words, counts = (counted.field(name) for name in ("values", "counts"))
        if not len(words):
            return np.zeros(ids, np.int64)
        encoded = self._encode(words.to_pylist())
        of_each = np.repeat(numpy_of(counts), np.fromiter(map(len, encoded), int, len(encoded)))
        total = np.zeros(ids, np.int64)
        np.add.at(total, np.fromiter(chain.from_iterable(encoded), int, len(of_each)), of_each)
        return total

    def _encode_batch(self, chunks: list[tuple[Bytes, Places]]) -> Iterator[Encoded]:
        starts_of_words = [_word_starts(content, starts) for content, starts in chunks]
        words = pa.chunked_array(
            _strings(content, starts)
            for (content, _), starts in zip(chunks, starts_of_words, strict=True)
        ).dictionary_encode()
        ids_of_words = self._ids_of(words.chunk(0).dictionary)  # the same in all chunks
        for (_, of_texts), of_words, chunk in zip(
            chunks, starts_of_words, words.chunks, strict=True
        ):
            ids = ids_of_words.take(chunk.indices)
            starts = numpy_of(ids.offsets)[np.searchsorted(of_words, of_texts)]
            yield Encoded(numpy_of(ids.values), starts)

    def _ids_of(self, words: pa.StringArray) -> pa.ListArray:
        """The ids of different words; new ones come into the memory."""
        if self._memory.words.nbytes > REMEMBERED_BYTES:
            self._memory = _Memory()
        known = pc.index_in(words, value_set=self._memory.words)
        if known.null_count:
            new = words.filter(known.is_null())
            self._memory.add(new, self._encode(new.to_pylist()))
            known = pc.index_in(words, value_set=self._memory.words)
        return self._memory.ids.take(known)


def _chunks(content: Bytes, starts: Places) -> Iterator[tuple[Bytes, Places]]:
    """Parts of whole words, and where texts begin in them."""
    begin = 0
    while begin < starts[-1]:
        end = _chunk_end(content, starts, begin)
        inside = starts[np.searchsorted(starts, begin) : np.searchsorted(starts, end)]
        yield content[begin:end], inside - begin
        begin = end


def _chunk_end(content: Bytes, starts: Places, begin: int) -> int:
    """Where a text begins, or in a long one a word, about CHUNK_BYTES after `begin`."""
    end = begin + CHUNK_BYTES
    while end < starts[-1]:
        text = int(starts[np.searchsorted(starts, end, "right") - 1])
        if text > begin:
            return text
        word = int(_word_starts(content[begin:end], np.zeros(1, int))[-2])
        if word > 0:
            return begin + word
        end += CHUNK_BYTES
    return int(starts[-1])


def _word_starts(content: Bytes, starts_of_texts: Places) -> Places:
    """Where words begin, the first at 0, in bytes; a last entry is the end of the last one."""
    space, line_end = content == SPACE, content == LINE_END
    mark = SPACE_MARK.encode()
    if (first := content[:-2] == mark[0]).any():
        marks = first & (content[1:-1] == mark[1]) & (content[2:] == mark[2])
        for place in range(3):
            space[place : place + len(marks)] |= marks
    begins = np.zeros(len(content) + 1, bool)
    np.greater(space[1:], space[:-1], out=begins[1:-1])
    begins[:-1] |= line_end
    begins[1:] |= line_end
    begins[starts_of_texts] = True
    begins[[0, -1]] = True
    return np.flatnonzero(begins)


def _strings(content: Bytes, starts: Places) -> pa.StringArray:
    offsets = pa.py_buffer(starts.astype(np.int32))
    return pa.StringArray.from_buffers(len(starts) - 1, offsets, pa.py_buffer(content))
