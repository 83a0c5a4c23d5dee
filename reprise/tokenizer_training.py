"""Learning a vocabulary with SentencePiece, whose own errors are said in terms of params.yaml."""

import io
import re
from collections.abc import Iterable, Iterator

import sentencepiece

from reprise.errors import PipelineError
from reprise.params.tokenize import TokenizeParams
from reprise.tokenizer import Tokenizer
from reprise.wordwise import SPACE_MARK

# The marks of our own, which no text can produce. SentencePiece leaves out words with such a mark,
# so the unknown piece is not called <unk>: that is a word in WikiText and Penn Treebank.
DOCUMENT_END, UNKNOWN = "<|endoftext|>", "<|unknown|>"
ALWAYS_PIECES = ("\n", "\t")  # normalization rules would turn them into spaces

# Unigram scores depend on how many threads add them up, and the number is written into the model.
# A fixed number, whatever the machine has, gives the same bytes on one core and on sixty-four.
TRAINING_THREADS = 4

# SentencePiece leaves out longer lines than max_sentence_length; we cut them instead.
LINE_CHARACTERS = 4096


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
            unk_id=0,
            unk_piece=UNKNOWN,
            eos_id=1,
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
        if len(text) <= LINE_CHARACTERS:
            yield from text.split("\n")
            continue
        for line in text.split("\n"):
            yield from pieces_of_line(line)


def pieces_of_line(line: str) -> Iterator[str]:
    """The line itself, or a longer one's pieces, cut before a space where there is one."""
    start = 0
    while len(line) - start > LINE_CHARACTERS:
        end = line.rfind(" ", start + 1, start + LINE_CHARACTERS + 1)
        end = end if end > 0 else start + LINE_CHARACTERS
        yield line[start:end]
        start = end
    yield line[start:]


def long_lines(text: str) -> int:
    """How many lines are learned from in more than one piece."""
    if len(text) <= LINE_CHARACTERS:
        return 0
    return sum(len(line) > LINE_CHARACTERS for line in text.split("\n"))


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
            if symbol in ("", DOCUMENT_END, UNKNOWN) or SPACE_MARK in symbol:
                raise PipelineError(
                    f"tokenize.{name}: {symbol!r} cannot be a symbol: it is empty, a mark "
                    "of the vocabulary's own or holds U+2581; take it away"
                )
