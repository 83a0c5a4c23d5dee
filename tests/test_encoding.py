"""Documents to arrays of ids."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import sentencepiece
from test_taken_model import LLAMA, foreign
from test_tokenizer import TEXTS, params
from test_vocabulary import split_of

from reprise import corpus, encoding
from reprise.encoding import ArrayWriter, check_round_trip, encode_splits, id_dtype
from reprise.errors import PipelineError
from reprise.params.encode import EncodeParams
from reprise.tokenizer import Tokenizer
from reprise.tokenizer_training import train_tokenizer

CHECK_ALL = EncodeParams(round_trip_documents=1000)


def encode_split(
    documents: Path, model: Path, out: Path, split: str, params: EncodeParams, workers: int
) -> dict[str, int]:
    return encode_splits({split: documents}, model, out, params, workers)[split]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tokenizer.model"
    path.write_bytes(train_tokenizer(TEXTS, params()))
    return path


@pytest.mark.parametrize(
    ("size", "dtype"), [(300, np.uint16), (65_536, np.uint16), (65_537, np.uint32)]
)
def test_ids_take_as_few_bytes_as_hold_them(size: int, dtype: type) -> None:
    assert id_dtype(size) == dtype
    assert size - 1 <= np.iinfo(id_dtype(size)).max


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_an_array_of_unknown_length_is_a_plain_npy_file(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "a.npy"
    pieces = [np.arange(n, dtype=np.int32) for n in (0, 3, 70_000 if dtype == np.uint32 else 5)]
    with ArrayWriter(path, np.dtype(dtype)) as writer:
        for piece in pieces:
            writer.append(piece)
    loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    assert loaded.dtype == dtype
    assert loaded.tolist() == np.concatenate(pieces).tolist()
    np.save(tmp_path / "b.npy", loaded)
    assert path.read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_documents_lie_end_to_end_with_a_mark_after_each(tmp_path: Path, model: Path) -> None:
    documents = split_of(tmp_path / "valid.parquet", TEXTS)
    totals = encode_split(documents, model, tmp_path / "out", "valid", CHECK_ALL, 1)
    tokenizer = Tokenizer.load(model)
    ids = np.load(tmp_path / "out/valid.npy", mmap_mode="r")
    assert ids.dtype == np.uint16
    expected = [[*tokenizer._processor.encode(text), 1] for text in TEXTS]
    assert ids.tolist() == [i for document in expected for i in document]
    table = pq.read_table(tmp_path / "out/valid.parquet").to_pydict()
    assert table == {
        "name": ["name"] * len(TEXTS),
        "tokens": [len(document) for document in expected],
        "bytes": [len(text.encode()) for text in TEXTS],
        "words": [len(text.split()) for text in TEXTS],
        "lines": [len(text.split("\n")) for text in TEXTS],
    }
    assert table["lines"][:3] == [4, 2, 1]
    assert totals == {
        "documents": len(TEXTS),
        **{name: sum(table[name]) for name in ("tokens", "bytes", "words", "lines")},
    }


def test_ids_of_an_empty_split_and_of_empty_documents(tmp_path: Path, model: Path) -> None:
    for name, texts in (("valid", []), ("test", ["", "the cats", ""])):
        documents = split_of(tmp_path / f"{name}.parquet", texts)
        totals = encode_split(documents, model, tmp_path, name, CHECK_ALL, 1)
        ids = Tokenizer.load(model).encode("the cats").tolist()
        expected = [1, *ids, 1, 1] if texts else []
        assert np.load(tmp_path / f"{name}.npy").tolist() == expected
        assert totals["tokens"] == len(expected)


def test_the_end_of_a_document_is_where_the_model_has_it(tmp_path: Path) -> None:
    path = tmp_path / "foreign.model"
    path.write_bytes(foreign(**LLAMA))  # eos is 2
    documents = split_of(tmp_path / "train.parquet", ["the cats", "  the\n\ncats "])
    encode_split(documents, path, tmp_path, "ids", CHECK_ALL, 1)
    expected = [
        [*sentencepiece.SentencePieceProcessor(str(path)).encode(text), 2]
        for text in ("the cats", "  the\n\ncats ")
    ]
    assert np.load(tmp_path / "ids.npy").tolist() == [i for each in expected for i in each]


WHITE = [chr(code) for code in range(0x3001) if chr(code).isspace()]


def test_words_are_those_that_blanks_of_any_kind_divide(tmp_path: Path, model: Path) -> None:
    texts = ["a".join(WHITE), " ", "".join(WHITE), "a\u200bb \u2581", ""]
    documents = split_of(tmp_path / "train.parquet", texts)
    params = EncodeParams(round_trip_documents=0)
    encode_split(documents, model, tmp_path / "out", "train", params, 1)
    words = pq.read_table(tmp_path / "out/train.parquet")["words"].to_pylist()
    assert words == [len(WHITE) - 1, 0, 0, 2, 0]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_workers_change_no_byte(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "ROW_GROUP_BYTES", 200)
    documents = split_of(tmp_path / "train.parquet", TEXTS)
    model = tmp_path / "tokenizer.model"
    model.write_bytes(train_tokenizer(TEXTS, params(type=kind)))
    for workers in (1, 3):
        encode_split(documents, model, tmp_path / str(workers), "train", CHECK_ALL, workers)
    for name in ("train.npy", "train.parquet"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


@pytest.mark.parametrize(("asked", "rows"), [(0, []), (1, [31]), (3, [10, 31, 51]), (99, None)])
def test_the_documents_to_check_are_spread_evenly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int, rows: list[int] | None
) -> None:
    monkeypatch.setattr(corpus, "ROW_GROUP_BYTES", 300)
    documents = split_of(tmp_path / "train.parquet", TEXTS)
    assert len(TEXTS) == 62
    checked, start = [], 0
    for task in encoding._tasks(documents, asked):
        checked += [start + row for row in task.round_trips]
        start += corpus.read_row_group(documents, task.group).num_rows
    assert checked == (list(range(62)) if rows is None else rows)


def test_ids_that_do_not_give_the_text_back_are_told(model: Path) -> None:
    tokenizer = Tokenizer.load(model)
    ids = tokenizer.encode("the cats")
    check_round_trip(tokenizer, "a", "the cats", ids)
    with pytest.raises(PipelineError) as caught:
        check_round_trip(tokenizer, "a.txt:3", "the mats sat", ids)
    assert str(caught.value) == (
        "document a.txt:3: its ids do not give the text back: character 4 is 'cats' instead of "
        "'mats sat'; set tokenize.byte_fallback to true and tokenize.normalization to identity"
    )


def test_unknown_pieces_are_no_fault_of_the_round_trip() -> None:
    settings = params(byte_fallback=False, vocabulary_size=110)
    tokenizer = Tokenizer(train_tokenizer(TEXTS, settings))
    check_round_trip(tokenizer, "a", "ж", tokenizer.encode("ж"))


def test_a_failed_encoding_leaves_nothing(tmp_path: Path, model: Path) -> None:
    documents = split_of(tmp_path / "train.parquet", ["a \u2581 mark is read as a space"])
    tokenizer = Tokenizer.load(model)
    tokenizer.normalize("a")
    (tmp_path / "out").mkdir()
    with pytest.raises(PipelineError):
        encode_split(documents, tmp_path / "no.model", tmp_path / "out", "train", CHECK_ALL, 1)
    assert not list((tmp_path / "out").iterdir())


def test_a_broken_split_is_told(tmp_path: Path, model: Path) -> None:
    documents = tmp_path / "valid.parquet"
    documents.write_bytes(b"PAR1 cut short")
    with pytest.raises(PipelineError) as caught:
        encode_split(documents, model, tmp_path / "out", "valid", CHECK_ALL, 1)
    (line,) = caught.value.lines
    assert line.startswith(f"{documents}: not a parquet file of documents: ")
    assert line.endswith("; run `dvc repro -f clean` to make it anew")
