"""WikiText-2 at word level: the published counts of tokens, with an end for each line."""

import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from test_encoding import encode_split
from test_tokenizer import params
from test_vocabulary import split_of

from reprise.errors import PipelineError
from reprise.params.encode import EncodeParams
from reprise.tokenizer import Tokenizer
from reprise.tokenizer_training import train_tokenizer
from reprise.vocabulary_report import on_valid

HEADING = re.compile(r"^ = [^=\n]+ =$", re.MULTILINE)
TOKENS = {"train": 2_088_628, "valid": 217_646, "test": 245_569}
WORDS = 33_277  # of them "<unk>"; published as 33,278 with the end of a line
FIXED = 6  # unknown, the end of a document, line end and tab, both once more after a blank


def settings(vocabulary_size: int) -> dict[str, object]:
    return {
        "type": "word",
        "vocabulary_size": vocabulary_size,
        "character_coverage": 1.0,
        "byte_fallback": False,
        "sample_bytes": 100_000_000,
    }


def articles(text: str) -> Iterator[str]:
    """Without blanks at the ends of lines, and without the last line end."""
    text = re.sub(" +$", "", text, flags=re.MULTILINE).removesuffix("\n")
    starts = [found.start() for found in HEADING.finditer(text)]
    for a, b in zip([0, *starts[1:]], [*starts[1:], len(text) + 1], strict=True):
        yield text[a : b - 1]


def test_a_token_is_a_word_or_a_line(tmp_path: Path) -> None:
    text = " \n = One = \n \n a b <unk> <unk> , a \n \n = Two = \n \n b \n"
    texts = list(articles(text))
    assert texts == ["\n = One =\n\n a b <unk> <unk> , a\n", " = Two =\n\n b"]
    words = {"=", "One", "Two", "a", "b", "<unk>", ","}
    model = tmp_path / "tokenizer.model"
    model.write_bytes(train_tokenizer(texts, params(**settings(len(words) + FIXED))))
    documents = split_of(tmp_path / "train.parquet", texts)
    totals = encode_split(
        documents, model, tmp_path, "train", EncodeParams(round_trip_documents=9), 1
    )
    assert totals["tokens"] == len(text.split()) + text.count("\n")
    assert Tokenizer.load(model).unknown_id not in np.load(tmp_path / "train.npy")


@pytest.fixture
def wikitext() -> dict[str, list[str]]:
    folder = Path(
        os.environ.get("REPRISE_TEST_CORPORA", Path(__file__).parents[2] / "shared/corpora")
    )
    if not (folder / "wikitext-2").is_dir():
        pytest.skip("no corpora here; REPRISE_TEST_CORPORA names their folder")
    contents = {
        "train": gzip.decompress((folder / "wikitext-2/train.txt.gz").read_bytes()),
        "valid": (folder / "wikitext-2/valid.txt").read_bytes(),
        "test": (folder / "wikitext-2/test.txt").read_bytes(),
    }
    return {split: list(articles(content.decode())) for split, content in contents.items()}


@pytest.mark.slow
def test_wikitext_2_has_its_published_counts(
    tmp_path: Path, wikitext: dict[str, list[str]]
) -> None:
    size = WORDS + FIXED
    with pytest.raises(PipelineError, match=f"set {size} or less"):
        train_tokenizer(wikitext["train"], params(**settings(size + 1)))
    model = tmp_path / "tokenizer.model"
    model.write_bytes(train_tokenizer(wikitext["train"], params(**settings(size))))
    found = {}
    for split, texts in wikitext.items():
        documents = split_of(tmp_path / f"{split}.parquet", texts)
        encoding = EncodeParams(round_trip_documents=9)
        found[split] = encode_split(documents, model, tmp_path, split, encoding, 1)["tokens"]
    assert found == TOKENS
    tokenizer = Tokenizer.load(model)
    valid = on_valid(tokenizer, [pa.array(wikitext["valid"], pa.string())])
    assert valid.uses[tokenizer.unknown_id] == 0
    assert valid.uses[tokenizer.pieces().index("▁<unk>")] == 11_718  # grep -o '<unk>' | wc -l
