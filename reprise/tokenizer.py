"""The vocabulary: the only place that knows SentencePiece. Learn, load, encode, decode."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from reprise.errors import PipelineError
from reprise.params.tokenize import TokenizeParams
from reprise.wordwise import encode_wordwise, is_wordwise

Ids = npt.NDArray[np.int32]
_PROTOCOL: Any = sentencepiece_model_pb2

DOCUMENT_END = "<|endoftext|>"  # the one document mark; no text can produce it
UNKNOWN_ID, DOCUMENT_END_ID = 0, 1
SPACE_MARK = "\u2581"  # what SentencePiece writes for a space
ALWAYS_PIECES = ("\n", "\t")  # normalization rules would turn them into spaces

# Unigram scores depend on how many threads add them up, and the number is written into the model.
# A fixed number, whatever the machine has, gives the same bytes on one core and on sixty-four.
TRAINING_THREADS = 4

# SentencePiece leaves out longer lines than max_sentence_length; we cut them instead.
LINE_CHARACTERS = 4096

# A document is encoded in parts of about so many characters, cut after a line end. No piece but
# "\n" holds one, so only ties between segmentations can fall differently. It bounds the memory.
PART_CHARACTERS = 1 << 16


def train_tokenizer(texts: Iterable[str], params: TokenizeParams) -> bytes:
    """The SentencePiece model learned from the texts, as bytes.

    The same texts and settings give the same bytes in any folder and on any number of cores.
    """
    _check_symbols(params)
    symbols = [_marked(s) for s in params.user_defined_symbols if s not in ALWAYS_PIECES]
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(texts),
            model_writer=model,
            model_type=params.type,
            vocab_size=params.vocabulary_size,
            hard_vocab_limit=True,
            character_coverage=params.character_coverage,
            byte_fallback=params.byte_fallback,
            normalization_rule_name=params.normalization,
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            allow_whitespace_only_pieces=True,  # indents: 8% fewer tokens on docstrings
            user_defined_symbols=[*ALWAYS_PIECES, *symbols],
            control_symbols=[_marked(symbol) for symbol in params.control_symbols],
            unk_id=UNKNOWN_ID,
            eos_id=DOCUMENT_END_ID,
            eos_piece=DOCUMENT_END,
            bos_id=-1,
            pad_id=-1,
            max_sentence_length=4 * LINE_CHARACTERS,
            num_threads=TRAINING_THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _refusal(str(error), params) from None
    learned = Tokenizer(model.getvalue())
    if learned.size < params.vocabulary_size:  # char stops without a word
        raise _too_large(params, learned.size)
    return model.getvalue()


def _marked(symbol: str) -> str:
    """The symbol as SentencePiece looks for it in a text."""
    return symbol.replace(" ", SPACE_MARK)


def _lines(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for line in text.split("\n"):
            for start in range(0, len(line), LINE_CHARACTERS):
                yield line[start : start + LINE_CHARACTERS]


def _refusal(message: str, params: TokenizeParams) -> PipelineError:
    """SentencePiece's error, said in terms of params.yaml."""
    size = params.vocabulary_size
    if found := re.search(r"Please set it to a value <= (\d+)", message):
        return _too_large(params, int(found[1]))
    if found := re.search(r"smaller than required_chars. \d+ vs (\d+)", message):
        return PipelineError(
            f"tokenize.vocabulary_size: {size} is too small: {found[1]} pieces are needed for the "
            f"characters alone; set {found[1]} or more, or lower tokenize.character_coverage"
        )
    if "(vocab_size) >= (0)" in message:
        smallest = _smallest_size(params)
        return PipelineError(
            f"tokenize.vocabulary_size: {size} is too small: {smallest} pieces are fixed (symbols, "
            f"and 256 bytes with byte_fallback); set {smallest} or more"
        )
    if "!sentences_.empty()" in message:
        return PipelineError("tokenize: no text to learn from; look at metrics/clean.json")
    return PipelineError(f"tokenize: SentencePiece refuses: {' '.join(message.split())}")


def _too_large(params: TokenizeParams, largest: int) -> PipelineError:
    return PipelineError(
        f"tokenize.vocabulary_size: {params.vocabulary_size} is more than the text can fill; "
        f"set {largest} or less, or give more text"
    )


def _smallest_size(params: TokenizeParams) -> int:
    """Of a char or word vocabulary. The word trainer counts user-defined symbols twice."""
    user_defined = len({*ALWAYS_PIECES, *params.user_defined_symbols})
    fixed = 2 + user_defined + len(params.control_symbols) + 256 * params.byte_fallback
    return fixed + user_defined * (params.type == "word")


def _check_symbols(params: TokenizeParams) -> None:
    """SentencePiece itself would let a text contain the document end, and pass over ""."""
    for name in ("user_defined_symbols", "control_symbols"):
        for symbol in getattr(params, name):
            if symbol in ("", DOCUMENT_END) or SPACE_MARK in symbol:
                raise PipelineError(
                    f"tokenize.{name}: {symbol!r} cannot be a symbol: it is empty, the mark of a "
                    "document's end or holds U+2581; take it away"
                )


class Tokenizer:
    """Text to ids and back. With byte fallback, decode(encode(text)) == normalize(text)."""

    def __init__(self, model: bytes) -> None:
        self._processor: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.size: int = self._processor.vocab_size()
        self._line_end_id: int = self._processor.piece_to_id("\n")
        description = _description(model)
        self._by_line = description.trainer_spec.model_type == _PROTOCOL.TrainerSpec.WORD
        self._wordwise = _merges_plain_text(description) and is_wordwise(self.pieces(), SPACE_MARK)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        try:
            return cls(path.read_bytes())
        except FileNotFoundError:
            raise PipelineError(
                f"{path}: no such file; run `dvc repro tokenize` to make it"
            ) from None
        except RuntimeError:
            raise PipelineError(
                f"{path}: not a SentencePiece model; run `dvc repro -f tokenize` to make it anew"
            ) from None

    def encode(self, text: str) -> Ids:
        """Token ids (T,), without a document end."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text, without document ends; one thread."""
        parts = [self._handed(text) for text in texts]
        flat = [part for document in parts for part in document]
        encoded = iter(
            encode_wordwise(flat, self._encode, self._line_end_id)
            if self._wordwise
            else self._encode(flat)
        )
        return [_joined([next(encoded) for _ in document]) for document in parts]

    def _handed(self, text: str) -> list[str]:
        """The parts that SentencePiece gets. Its word model divides at spaces alone, so that a line
        end would make one unknown word of its neighbours."""
        parts = _parts(text)
        if not self._by_line:
            return parts
        return [piece for part in parts for piece in re.split(r"([\n\t])", part)]

    def _encode(self, texts: list[str]) -> list[Ids]:
        return self._processor.encode(texts, out_type="numpy", num_threads=1)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids; document ends and control symbols give none."""
        text: str = self._processor.decode([int(i) for i in ids])
        return text.replace(SPACE_MARK, " ")  # spelt in bytes where no piece has it

    def normalize(self, text: str) -> str:
        """The text as the vocabulary sees it; with `identity`, the text itself."""
        return "".join(self._processor.normalize(part) for part in _parts(text)).replace(
            SPACE_MARK, " "
        )

    def piece(self, index: int) -> str:
        return self._processor.id_to_piece(index)

    def pieces(self) -> list[str]:
        return [self.piece(index) for index in range(self.size)]

    def is_byte(self) -> npt.NDArray[np.bool_]:
        """True for the ids that stand for one byte of a character without a piece."""
        return np.array([self._processor.is_byte(index) for index in range(self.size)])

    def vocabulary_lines(self) -> str:
        """piece, tab, score; one line each; line ends and tabs written as \\n and \\t."""
        return "".join(
            f"{_escaped(self.piece(index))}\t{self._processor.get_score(index):.6g}\n"
            for index in range(self.size)
        )


def _description(model: bytes) -> Any:
    return _PROTOCOL.ModelProto.FromString(model)


def _merges_plain_text(description: Any) -> bool:
    """BPE without normalization. (Unigram adds up scores in float32, where a word's neighbours can
    tip a tie; it is fast anyway.)"""
    return (
        description.trainer_spec.model_type == _PROTOCOL.TrainerSpec.BPE
        and not description.normalizer_spec.precompiled_charsmap
    )


def _escaped(piece: str) -> str:
    return piece.replace("\n", "\\n").replace("\t", "\\t")


def _parts(text: str) -> list[str]:
    """The text cut after line ends, or without one anywhere, in parts of bounded length."""
    parts = []
    start = 0
    while len(text) - start > PART_CHARACTERS:
        end = text.rfind("\n", start, start + PART_CHARACTERS) + 1
        end = end or start + PART_CHARACTERS
        parts.append(text[start:end])
        start = end
    return [*parts, text[start:]]


def _joined(parts: list[Ids]) -> Ids:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
