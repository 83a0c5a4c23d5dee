"""A vocabulary in use: load, encode, decode. With `tokenizer_training`, which learns one, the only
place that knows SentencePiece.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from reprise.errors import PipelineError
from reprise.wordwise import SPACE_MARK, Bytes, Encoded, Ids, Places, WordwiseEncoder, is_wordwise

_PROTOCOL: Any = sentencepiece_model_pb2

# A document is encoded in parts of about so many characters, cut after a line end. No piece but
# "\n" holds one, so only ties between segmentations can fall differently. It bounds the memory.
PART_CHARACTERS = 1 << 16


class Tokenizer:
    """Text to ids and back. With byte fallback, decode(encode(text)) == normalize(text)."""

    def __init__(self, model: bytes, threads: int = 1) -> None:
        """RuntimeError where the bytes are no SentencePiece model."""
        self._threads = threads
        self._processor: Any = _processor(model)
        self.size: int = self._processor.vocab_size()
        self.unknown_id: int = self._processor.unk_id()
        description = _PROTOCOL.ModelProto.FromString(model)
        self.type: str = _TYPES[description.trainer_spec.model_type]
        normalizer = description.normalizer_spec
        self._adds_blank: bool = normalizer.add_dummy_prefix
        self._whole: bool = normalizer.add_dummy_prefix or normalizer.remove_extra_whitespaces
        self._plain: bool = not self._whole and not normalizer.precompiled_charsmap
        self._wordwise = WordwiseEncoder(self._encode_words) if self._is_wordwise() else None

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        try:
            return cls(path.read_bytes())
        except FileNotFoundError:
            raise PipelineError(
                f"{path}: no such file; run `dvc repro tokenize` to make it"
            ) from None
        except (OSError, RuntimeError):
            raise PipelineError(
                f"{path}: not a SentencePiece model; run `dvc repro -f tokenize` to make it anew"
            ) from None

    def _is_wordwise(self) -> bool:
        """Words are told apart by us, so that SentencePiece never comes to use its piece of a space
        and a line end. Otherwise it makes one of unknown characters side by side, also over a space
        that is no piece."""
        pieces = set(self.pieces())
        if self.type == "word":
            pieces.discard(f"{SPACE_MARK}\n")
        elif SPACE_MARK not in pieces:
            return False
        return self._plain and is_wordwise(pieces)

    @property
    def document_end_id(self) -> int:
        """The id after each document: the model's end of sentence, or its beginning."""
        for index in (self._processor.eos_id(), self._processor.bos_id()):
            if index >= 0:
                return int(index)
        raise PipelineError(
            "tokenize.model_file: the model has no piece for the end of a sentence (eos) nor for "
            "its beginning (bos), which would tell documents apart; take another model"
        )

    def encode(self, text: str) -> Ids:
        """Token ids (T,), without a document end."""
        return self.encode_all([text]).ids

    def encode_all(self, texts: Sequence[str]) -> Encoded:
        """The ids of each text, without document ends."""
        if self._wordwise:
            return self._wordwise.encode_all(texts)
        handed = [self._handed(text) for text in texts]
        flat = [part for parts in handed for part in parts]
        encoded = self._processor.encode(flat, out_type="numpy", num_threads=self._threads)
        ends = np.cumsum([0, *map(len, encoded)])  # of the parts, in ids
        starts = np.cumsum([0, *map(len, handed)])  # of the texts, in parts
        return Encoded(np.concatenate([np.zeros(0, np.int32), *encoded]), ends[starts])

    def encode_column(self, texts: pa.StringArray) -> Encoded:
        """The same for texts that need not become Python's first."""
        if not self._wordwise:
            return self.encode_all(texts.to_pylist())
        return self._wordwise.encode_bytes(*_bytes_of(texts))

    def uses(self, texts: pa.StringArray) -> npt.NDArray[np.int64]:
        """(size,): how often each id comes in the texts."""
        if not self._wordwise:
            return np.bincount(self.encode_column(texts).ids, minlength=self.size)
        return self._wordwise.uses(*_bytes_of(texts), self.size)

    def _encode_words(self, words: list[str]) -> list[list[int]]:
        if self.type != "word" and max(map(len, words)) <= PART_CHARACTERS:
            return self._processor.encode(words, out_type=int, num_threads=self._threads)
        handed = [self._handed(word) for word in words]
        flat = [part for parts in handed for part in parts]
        ids = iter(self._processor.encode(flat, out_type=int, num_threads=self._threads))
        return [[index for _ in parts for index in next(ids)] for parts in handed]

    def _handed(self, text: str) -> list[str]:
        """What SentencePiece gets: parts of bounded length, but the whole where it sets or takes
        blanks at the ends. Its word model divides at spaces alone, so that a line end would make
        one unknown word of its neighbours."""
        parts = [text] if self._whole else list(parts_of(text))
        if self.type == "word":
            return [piece for part in parts for piece in re.split(r"([\n\t])", part)]
        return parts

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of the ids; document ends and control symbols give none."""
        text: str = self._processor.decode(np.asarray(ids, int).tolist())
        return text.replace(SPACE_MARK, " ")  # spelt in bytes where no piece has it

    def normalize(self, text: str) -> str:
        """The text as the vocabulary sees it; with `identity`, the text itself."""
        if self._plain:
            return text.replace(SPACE_MARK, " ")
        parts = [text] if self._whole else parts_of(text)
        normalized = "".join(map(self._processor.normalize, parts)).replace(SPACE_MARK, " ")
        return normalized.removeprefix(" ") if self._adds_blank else normalized

    def piece(self, index: int) -> str:
        return self._processor.id_to_piece(index)

    def pieces(self) -> list[str]:
        return [self.piece(index) for index in range(self.size)]

    def is_byte(self) -> npt.NDArray[np.bool_]:
        """True for the ids that stand for one byte of a character without a piece."""
        return np.array([self._processor.is_byte(index) for index in range(self.size)])

    def is_text(self) -> npt.NDArray[np.bool_]:
        """True for the ids that stand for a text of their own: not for unknown characters, for a
        byte, nor for what no text can contain."""
        model = self._processor
        apart = (model.is_unknown, model.is_byte, model.is_control, model.is_unused)
        return np.array([not any(kind(i) for kind in apart) for i in range(self.size)])

    def vocabulary_lines(self) -> str:
        """piece, tab, score; one line each; line ends and tabs written as \\n and \\t."""
        return "".join(
            f"{escaped(self.piece(index))}\t{self._processor.get_score(index):.6g}\n"
            for index in range(self.size)
        )


_TYPES = {
    _PROTOCOL.TrainerSpec.UNIGRAM: "unigram",
    _PROTOCOL.TrainerSpec.BPE: "bpe",
    _PROTOCOL.TrainerSpec.CHAR: "char",
    _PROTOCOL.TrainerSpec.WORD: "word",
}


def _processor(model: bytes) -> Any:
    if not model:  # SentencePiece would take it for a model that comes later
        raise RuntimeError("no bytes")
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def _bytes_of(texts: pa.StringArray) -> tuple[Bytes, Places]:
    """The texts end to end, and where each begins, with the end of the last."""
    _, offsets, content = texts.buffers()
    starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return (
        np.frombuffer(content or b"", np.uint8)[starts[0] : starts[-1]],
        starts.astype(np.int64) - starts[0],
    )


def escaped(piece: str) -> str:
    return piece.replace("\n", "\\n").replace("\t", "\\t")


def parts_of(text: str) -> Iterator[str]:
    """The text cut after line ends, or without one anywhere, in parts of bounded length."""
    start = 0
    while len(text) - start > PART_CHARACTERS:
        end = text.rfind("\n", start, start + PART_CHARACTERS) + 1
        end = end or start + PART_CHARACTERS
        yield text[start:end]
        start = end
    yield text[start:]
