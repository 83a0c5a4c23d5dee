"""Models that were learned elsewhere: taken unchanged, and what they do to blanks is no fault."""

import hashlib
import importlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from click.testing import CliRunner, Result
from ruamel.yaml import YAML
from test_tokenizer import HARD, TEXTS
from test_vocabulary import split_of

from reprise.corpus import SPLITS
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


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clean documents and the committed settings."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/clean").mkdir(parents=True)
    for split in SPLITS:
        split_of(tmp_path / f"data/clean/{split}.parquet", TEXTS)
    return tmp_path


def configure(**tokenize: object) -> None:
    yaml = YAML()
    settings = yaml.load(Path(__file__).parents[1] / "params.yaml")
    settings["tokenize"].update(tokenize)
    settings["run"]["workers"] = 1
    yaml.dump(settings, Path("params.yaml"))


def run(stage: str) -> Result:
    main = importlib.import_module(f"stages.{stage}").main
    return CliRunner().invoke(main, catch_exceptions=False)


def test_the_stages_use_the_model_that_was_taken(project: Path, llama: Path) -> None:
    configure(model_file="llama.model", model_sha256=sha256(llama))
    for stage in ("tokenize", "encode"):
        assert run(stage).exit_code == 0
    assert Path("data/tokenize/tokenizer.model").read_bytes() == llama.read_bytes()
    assert json.loads(Path("metrics/tokenize.json").read_text())["pieces"] == 360
    assert Path("data/tokenize/report.md").read_text().startswith("# The vocabulary\n\n360 pieces")
    vocabulary = json.loads(Path("data/encode/vocabulary.json").read_text())
    assert vocabulary == {"boundary": 2, "vocabulary_size": 360}
    ids = np.load("data/encode/valid.npy")
    assert (ids == 2).sum() == len(TEXTS)
    assert Tokenizer(llama.read_bytes()).decode(ids[: ids.tolist().index(2)]) == TEXTS[0]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"model_sha256": "0" * 64},
            "params.yaml: tokenize: model_sha256 is set but model_file is null; set both, or both "
            "to null",
        ),
        (
            {"model_file": 5},
            "params.yaml: tokenize.model_file: found 5; input should be a valid string",
        ),
        (
            {"model_file": "a.model", "model_sha256": "A" * 64},
            f"params.yaml: tokenize.model_sha256: found '{'A' * 64}'; string should match pattern "
            "'^[0-9a-f]{64}$'",
        ),
        (
            {"model_file": "a.model", "model_sha256": None},
            "tokenize.model_file: a.model: cannot be read: No such file or directory; give the "
            "path of a SentencePiece model, or null to learn a vocabulary",
        ),
    ],
)
def test_faults_in_the_settings_are_told(
    project: Path, changes: dict[str, object], line: str
) -> None:
    configure(**changes)
    result = run("tokenize")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, f"error: {line}")
    assert not Path("data/tokenize/tokenizer.model").exists()
