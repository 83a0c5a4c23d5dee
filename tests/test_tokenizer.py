"""The vocabulary: lossless, the same bytes everywhere, and clear about its limits."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprise import tokenizer as module
from reprise import tokenizer_training as training
from reprise.errors import PipelineError
from reprise.params.tokenize import TokenizeParams
from reprise.tokenizer import Tokenizer
from reprise.tokenizer_training import long_lines, pieces_of_line, train_tokenizer
from reprise.wordwise import SPACE_MARK

TEXTS = [
    "def add(first, second):\n    return first + second\n\n\tand a tab",
    "天地玄黄。宇宙洪荒。\n日月盈昃。辰宿列张。",
    *(f"the {n} cats of number {n * 17} sat on {n % 7} mats  and   slept" for n in range(60)),
]
TYPES = ["unigram", "bpe", "char", "word"]
HARD = [
    "",
    " ",
    "\n",
    "\t",
    "\n\n\n",
    "  two  spaces  ",
    "line\n    indented\n\ttab\n",
    "寒来暑往。秋收冬藏",
    "emoji 👩‍👩‍👧 🇨🇳 and e\u0301 n\u0303",
    "a\u00a0b\u200bc\u3000d\ufeff",
    "<unk> <|endoftext|> <0x41> <s>",
    "zero\x00byte",
    "\U0010ffff",
    "a\r\nb",
    "cats" * 300,
]


def params(**changed: object) -> TokenizeParams:
    return TokenizeParams.model_validate(
        {
            "model_file": None,
            "model_sha256": None,
            "type": "bpe",
            "vocabulary_size": 330,
            "character_coverage": 1.0,
            "byte_fallback": True,
            "normalization": "identity",
            "user_defined_symbols": (),
            "control_symbols": (),
            "sample_bytes": 1000,
            "seed": 1,
        }
        | changed
    )


def trained(**changed: object) -> Tokenizer:
    return Tokenizer(train_tokenizer(TEXTS, params(**changed)))


def params_of(kind: str) -> dict[str, object]:
    return {"type": kind, "vocabulary_size": 300 if kind == "char" else 330}


@pytest.fixture(scope="module", params=TYPES)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return trained(**params_of(request.param))


@pytest.mark.parametrize("text", HARD)
def test_decoding_gives_the_text_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text == tokenizer.normalize(text)
    assert not (ids == tokenizer.document_end_id).any()
    assert ids.dtype == np.int32


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters=SPACE_MARK)))
def test_decoding_gives_any_text_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_texts_are_encoded_one_by_one(tokenizer: Tokenizer) -> None:
    together = tokenizer.encode_all(HARD)
    assert [i.tolist() for i in together.of_each()] == [tokenizer.encode(t).tolist() for t in HARD]
    assert together.of(14).tolist() == tokenizer.encode(HARD[14]).tolist()
    assert len(tokenizer.encode_all([])) == len(tokenizer.encode_all([]).ids) == 0
    assert tokenizer.decode([*tokenizer.encode("cats"), tokenizer.document_end_id]) == "cats"


@pytest.mark.parametrize("rule", ["nfkc", "nfkc_cf", "nmt_nfkc", "nmt_nfkc_cf"])
def test_normalization_is_all_that_is_lost(rule: str) -> None:
    tokenizer = trained(normalization=rule)
    text = "\uff26\uff55\uff4c\uff4c  \ufb01\n\tÉ"
    full = "Full  fi\n\tÉ"
    assert tokenizer.normalize(text) == (full.lower() if rule.endswith("cf") else full)
    for hard in [*HARD, text]:
        assert tokenizer.decode(tokenizer.encode(hard)) == tokenizer.normalize(hard)


def test_u2581_is_read_as_a_space_which_is_why_clean_replaces_it() -> None:
    tokenizer = trained()
    assert tokenizer.decode(tokenizer.encode("a\u2581b")) == "a b"


def test_without_byte_fallback_a_strange_character_is_unknown() -> None:
    tokenizer = trained(byte_fallback=False, vocabulary_size=110)
    assert 0 in tokenizer.encode("ж")
    assert not tokenizer.is_byte().any()


def test_ids_and_pieces_are_where_other_stages_expect_them() -> None:
    tokenizer = trained(control_symbols=("<|user|>",), user_defined_symbols=("number 17",))
    assert tokenizer.size == 330
    assert tokenizer.pieces()[:4] == ["<|unknown|>", "<|endoftext|>", "<|user|>", "\n"]
    assert (tokenizer.unknown_id, tokenizer.document_end_id) == (0, 1)
    assert tokenizer.is_byte().sum() == 256
    assert tokenizer.is_text().nonzero()[0].tolist() == [3, 4, 5, *range(6 + 256, 330)]
    assert tokenizer.decode(tokenizer.encode("<|user|>")) == "<|user|>"
    assert 2 not in tokenizer.encode("<|user|>")
    assert len(tokenizer.vocabulary_lines().splitlines()) == 330
    assert "\\n\t0\n" in tokenizer.vocabulary_lines()


def test_long_texts_are_encoded_in_parts(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\n".join(TEXTS)
    whole = tokenizer.encode(text)
    monkeypatch.setattr(module, "PART_CHARACTERS", 100)  # every line is shorter
    assert len(list(module.parts_of(text))) > 20
    assert "".join(module.parts_of(text)) == text
    assert tokenizer.encode(text).tolist() == whole.tolist()
    monkeypatch.setattr(module, "PART_CHARACTERS", 7)
    assert max(map(len, module.parts_of(text))) == 7
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_word_of_any_length_is_encoded_in_parts(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_CHARACTERS", 10)
    word = "cats" * 300 + "!"
    parts = [word[i : i + 10] for i in range(0, 1201, 10)]
    expected = [i for part in parts for i in tokenizer._processor.encode(part)]
    assert tokenizer.encode(word).tolist() == expected


def test_lines_longer_than_sentencepiece_takes_are_learned_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "LINE_CHARACTERS", 64)
    tokenizer = Tokenizer(train_tokenizer(["abcd" * 10_000], params(vocabulary_size=268)))
    assert "abcd" in tokenizer.pieces()


def test_long_lines_are_cut_before_a_space_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LINE_CHARACTERS", 8)
    assert list(pieces_of_line("the cats sat")) == ["the cats", " sat"]
    assert list(pieces_of_line("the big cat sat")) == ["the big", " cat sat"]
    assert list(pieces_of_line(" thecats sat")) == [" thecats", " sat"]
    assert list(pieces_of_line("thecatssat on")) == ["thecatss", "at on"]
    assert list(pieces_of_line("the cats")) == ["the cats"]
    assert list(pieces_of_line("")) == [""]
    assert long_lines("the cats\nthe cats sat\n\nthe cats sat on the mat\n") == 2
    assert long_lines("the\ncats\nsat") == 0


@pytest.mark.parametrize("kind", TYPES)
def test_unk_in_a_text_is_a_word_like_any_other(kind: str) -> None:
    texts = ["the <unk> and a <unk> <unk> or so"] * 9
    fixed = {"byte_fallback": False, "type": kind}
    size = {"bpe": 34, "unigram": 20, "char": 18, "word": 12}[kind]
    tokenizer = Tokenizer(train_tokenizer(texts, params(vocabulary_size=size, **fixed)))
    ids = tokenizer.encode(texts[0])
    assert tokenizer.unknown_id not in ids
    assert tokenizer.decode(ids) == texts[0]
    assert kind != "word" or "▁<unk>" in tokenizer.pieces()


SCRIPT = """
import sys
from reprise.params.tokenize import TokenizeParams
from reprise.tokenizer_training import train_tokenizer
from tests.test_tokenizer import TEXTS, params
sys.stdout.buffer.write(train_tokenizer(TEXTS * 20, params(type=sys.argv[1])))
"""


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_the_model_has_the_same_bytes_in_any_folder_on_any_number_of_cores(
    tmp_path: Path, kind: str
) -> None:
    root = Path(__file__).parents[1]
    script = f"import sys; sys.path.insert(0, {str(root)!r})\n{SCRIPT}"
    command = [sys.executable, "-c", script, kind]
    one_core = ["taskset", "-c", "0", *command] if which("taskset") else command
    models = [
        subprocess.run(
            line,
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for line, folder, threads in ((command, root, "3"), (one_core, tmp_path, "1"))
    ]
    assert len(models[0]) > 1000
    assert hashlib.sha256(models[0]).digest() == hashlib.sha256(models[1]).digest()
    assert str(root).encode() not in models[0]


def error_of(texts: list[str], **changed: object) -> str:
    with pytest.raises(PipelineError) as caught:
        train_tokenizer(texts, params(**changed))
    (line,) = caught.value.lines
    return line


@pytest.mark.parametrize("byte_fallback", [True, False])
@pytest.mark.parametrize("kind", TYPES)
def test_a_vocabulary_too_large_is_told_with_the_largest_that_works(
    kind: str, byte_fallback: bool
) -> None:
    given = {"type": kind, "byte_fallback": byte_fallback}
    line = error_of(TEXTS, vocabulary_size=50_000, **given)
    found = re.fullmatch(
        r"tokenize\.vocabulary_size: 50000 is more than the text can fill; "
        r"set (\d+) or less, or give more text",
        line,
    )
    assert found, line
    largest = int(found[1])
    assert trained(vocabulary_size=largest, **given).size == largest
    assert f"set {largest} or less" in error_of(TEXTS, vocabulary_size=largest + 1, **given)


@pytest.mark.parametrize("byte_fallback", [True, False])
@pytest.mark.parametrize("kind", TYPES)
def test_a_vocabulary_too_small_is_told_with_the_smallest_that_works(
    kind: str, byte_fallback: bool
) -> None:
    given = {
        "type": kind,
        "byte_fallback": byte_fallback,
        "user_defined_symbols": ("cats",),
        "control_symbols": ("<|user|>",),
    }
    line = error_of(TEXTS, vocabulary_size=4, **given)
    found = re.fullmatch(
        r"tokenize\.vocabulary_size: 4 is too small: (\d+) pieces are (needed for the characters "
        r"alone; set \1 or more, or lower tokenize\.character_coverage|fixed \(symbols, and 256 "
        r"bytes with byte_fallback\); set \1 or more)",
        line,
    )
    assert found, line
    smallest = int(found[1])
    assert trained(vocabulary_size=smallest, **given).size == smallest
    assert f"set {smallest} or more" in error_of(TEXTS, vocabulary_size=smallest - 1, **given)


@pytest.mark.parametrize("name", ["user_defined_symbols", "control_symbols"])
@pytest.mark.parametrize("symbol", ["", "<|endoftext|>", "<|unknown|>", "a\u2581"])
def test_symbols_that_would_break_the_vocabulary_are_refused(name: str, symbol: str) -> None:
    assert error_of(TEXTS, **{name: (symbol,)}) == (
        f"tokenize.{name}: {symbol!r} cannot be a symbol: it is empty, a mark of the "
        "vocabulary's own or holds U+2581; take it away"
    )


def test_what_sentencepiece_refuses_besides_is_passed_on() -> None:
    assert error_of(TEXTS, control_symbols=("<0x41>",)) == (
        "tokenize: SentencePiece refuses: INTERNAL: <0x41> is already defined. duplicated "
        "symbols are not allowed."
    )


def test_no_text_is_told() -> None:
    assert error_of([]) == "tokenize: no text to learn from; look at metrics/clean.json"


def test_a_missing_or_broken_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    with pytest.raises(PipelineError) as caught:
        Tokenizer.load(path)
    assert str(caught.value) == f"{path}: no such file; run `dvc repro tokenize` to make it"
    path.write_bytes(b"no model")
    with pytest.raises(PipelineError) as caught:
        Tokenizer.load(path)
    assert str(caught.value) == (
        f"{path}: not a SentencePiece model; run `dvc repro -f tokenize` to make it anew"
    )
    path.unlink()
    path.mkdir()
    with pytest.raises(PipelineError, match="not a SentencePiece model"):
        Tokenizer.load(path)


def test_a_word_vocabulary_knows_words_beside_line_ends_and_tabs() -> None:
    tokenizer = trained(type="word")
    ids = tokenizer.encode("the cats\n\tthe cats\n")
    assert [tokenizer.piece(i) for i in ids] == ["the", "▁cats", "\n", "\t", "the", "▁cats", "\n"]
