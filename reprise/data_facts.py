"""What the data card tells, gathered from the files of the data stages: one pass, small memory."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from reprise.corpus import SPLITS, read_row_group, row_sizes
from reprise.files import read_json
from reprise.settlement import LATE_REASONS

IDS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Document:
    name: str
    text: str


@dataclass(frozen=True)
class Dropped:
    name: str
    reason: str
    text: str


@dataclass(frozen=True)
class DataFacts:
    manifest: dict[str, Any]
    clean: dict[str, Any]  # metrics/clean.json, and so on
    tokenize: dict[str, Any]
    encode: dict[str, Any]
    lengths: dict[str, npt.NDArray[np.int64]]  # tokens of each document, by split
    uses: npt.NDArray[np.int64]  # of each piece in train
    pieces: list[str]
    examples: list[Document]  # of train
    dropped: list[Dropped]  # one of each reason


def gather(
    manifest: Path, clean: Path, encoded: Path, vocabulary: Path, metrics: Path, examples: int
) -> DataFacts:
    sizes = read_json(encoded / "vocabulary.json")
    return DataFacts(
        manifest=read_json(manifest),
        clean=_in_order(read_json(metrics / "clean.json")),
        tokenize=read_json(metrics / "tokenize.json"),
        encode=read_json(metrics / "encode.json"),
        lengths={split: _lengths(encoded / f"{split}.parquet") for split in SPLITS},
        uses=piece_uses(encoded / "train.npy", sizes["vocabulary_size"]),
        pieces=[
            line.rpartition("\t")[0]
            for line in vocabulary.read_text(encoding="utf-8").split("\n")[:-1]
        ],
        examples=drawn_documents(clean / "train.parquet", examples),
        dropped=list(_one_of_each(clean / "dropped.parquet")),
    )


def _in_order(clean: dict[str, Any]) -> dict[str, Any]:
    """The reasons to drop in the order in which they come about: copies are looked for last."""
    dropped = clean["dropped"]
    names = [name for name in dropped if name not in LATE_REASONS]
    return clean | {"dropped": {name: dropped[name] for name in (*names, *LATE_REASONS)}}


def _lengths(path: Path) -> npt.NDArray[np.int64]:
    return pq.read_table(path, columns=["tokens"])["tokens"].to_numpy()


def piece_uses(path: Path, pieces: int) -> npt.NDArray[np.int64]:
    """How often each piece is used in an array of ids, which stays on disk."""
    ids = np.load(path, mmap_mode="r")
    uses = np.zeros(pieces, np.int64)
    for start in range(0, len(ids), IDS_AT_ONCE):
        uses += np.bincount(ids[start : start + IDS_AT_ONCE], minlength=pieces)
    return uses


def drawn_documents(path: Path, count: int) -> list[Document]:
    """Documents at places drawn by hashes: the same for the same number of documents."""
    sizes = row_sizes(path)
    total = sum(sizes)
    draws = (_drawn(number) % total for number in range(100 * count) if total)
    places = sorted(list(dict.fromkeys(draws))[:count])
    documents = []
    start = 0
    for group, size in enumerate(sizes):
        own = [place - start for place in places if start <= place < start + size]
        if own:
            rows = read_row_group(path, group)
            documents += [
                Document(rows["name"][place].as_py(), rows["text"][place].as_py()) for place in own
            ]
        start += size
    return documents


def _drawn(number: int) -> int:
    return int.from_bytes(hashlib.blake2b(str(number).encode(), digest_size=8).digest())


def _one_of_each(path: Path) -> Iterator[Dropped]:
    seen = set()
    for row in pq.read_table(path).to_pylist():
        if row["reason"] not in seen:
            seen.add(row["reason"])
            yield Dropped(row["name"], row["reason"], row["text"])
