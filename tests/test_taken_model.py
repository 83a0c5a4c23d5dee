"""Models that were learned elsewhere: taken unchanged, and what they do to blanks is no fault."""

import hashlib
import io
from pathlib import Path

import pytest
import sentencepiece
from test_tokenizer import HARD, TEXTS

from reprise.encoding import check_round_trip
from reprise.errors import PipelineError
from reprise.taken_model import taken_model
from reprise.tokenizer import Tokenizer

LLAMA = {
    "model_type": "bpe",
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "vocab_size": 360,
}
T5 = {
    "model_type": "unigram",
    "vocab_size": 110,
    "pad_id": 0,
    "eos_id": 1,
    "unk_id": 2,
    "bos_id": -1,
}


def foreign(**settings: object) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(" ".join(TEXTS).split("\n")),
        model_writer=model,
        minloglevel=2,
        **settings,
    )
    return model.getvalue()


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    path = tmp_path / "llama.model"
    path.write_bytes(foreign(**LLAMA))
    return path


def test_a_model_is_taken_unchanged(llama: Path) -> None:
    content = llama.read_bytes()
    assert taken_model(llama, hashlib.sha256(content).hexdigest()) == content


def test_ids_are_where_the_model_has_them() -> None:
    found = Tokenizer(foreign(**LLAMA))
    assert (found.unknown_id, found.document_end_id) == (0, 2)
    found = Tokenizer(foreign(**T5))
    assert (found.unknown_id, found.document_end_id) == (2, 1)
    assert found.encode("Ж").tolist()[-1] == 2
    found = Tokenizer(foreign(**(LLAMA | {"eos_id": -1})))
    assert found.document_end_id == 1  # bos


BLANKS = [
    LLAMA,
    LLAMA | {"add_dummy_prefix": False},
    LLAMA | {"remove_extra_whitespaces": True},
    LLAMA | {"normalization_rule_name": "nmt_nfkc", "remove_extra_whitespaces": True},
    LLAMA | {"treat_whitespace_as_suffix": True},
    LLAMA | {"model_type": "unigram", "add_dummy_prefix": False, "remove_extra_whitespaces": True},
    LLAMA | {"model_type": "char", "vocab_size": 310},
    T5,
]


@pytest.mark.parametrize("settings", BLANKS)
def test_what_a_model_does_to_blanks_is_no_fault(settings: dict[str, object]) -> None:
    found = Tokenizer(foreign(**settings))
    texts = [*HARD, *TEXTS, "a" * 70_000, "the cats\n" * 9_000, " \n the  cats \n\n sat \t\n "]
    encoded = found.encode_all(texts)
    for text, ids in zip(texts, encoded.of_each(), strict=True):
        check_round_trip(found, "a", text, ids)
        if len(text) < 1000:
            assert ids.tolist() == found._processor.encode(text)


def test_a_model_that_sets_a_blank_before_a_text_gets_it_whole() -> None:
    found = Tokenizer(foreign(**LLAMA))
    text = "the cats sat on the mats\n" * 4_000
    assert found.encode(text).tolist() == found._processor.encode(text)
    assert found.decode(found.encode(text)) == text == found.normalize(text)


def refusal(path: Path, sha256: str | None) -> str:
    with pytest.raises(PipelineError) as caught:
        taken_model(path, sha256)
    (line,) = caught.value.lines
    return line


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_missing_hash_is_told_with_the_one_to_write(llama: Path) -> None:
    assert refusal(llama, None) == (
        f"tokenize.model_sha256: missing, so that {llama} could change unseen; if it is the model "
        f"you mean, set model_sha256 to {sha256(llama)}"
    )


def test_a_wrong_hash_is_told(llama: Path) -> None:
    assert refusal(llama, "0" * 64) == (
        f"tokenize.model_file: {llama}: its SHA-256 is {sha256(llama)}, but model_sha256 is "
        f"{'0' * 64}; it is another file than the settings were written for: get that one, or set "
        "model_sha256 anew"
    )


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    remedy = "give the path of a SentencePiece model, or null to learn a vocabulary"
    for path, reason in (
        (tmp_path / "none.model", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        line = f"tokenize.model_file: {path}: cannot be read: {reason}; {remedy}"
        assert refusal(path, "0" * 64) == line


@pytest.mark.parametrize("content", [b"", b'{"model": {}}', b"\x00" * 99])
def test_a_file_that_is_no_model_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    assert refusal(path, sha256(path)) == (
        f"tokenize.model_file: {path}: not a SentencePiece model; give the .model file of one (not "
        "tokenizer.json), or null to learn a vocabulary"
    )


def test_a_model_without_a_mark_for_the_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "endless.model"
    path.write_bytes(foreign(**(LLAMA | {"eos_id": -1, "bos_id": -1})))
    assert refusal(path, sha256(path)) == (
        "tokenize.model_file: the model has no piece for the end of a sentence (eos) nor for its "
        "beginning (bos), which would tell documents apart; take another model"
    )
