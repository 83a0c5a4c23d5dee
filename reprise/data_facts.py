"""What the data card tells, gathered from the files of the data stages: one pass, small memory."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from reprise.arrow import numbers_in
from reprise.corpus import SPLITS, read_row_group, row_sizes
from reprise.errors import PipelineError
from reprise.files import read_json

IDS_AT_ONCE = 1 << 22
CLEAN = ("documents", "bytes", "dropped", "changed", "near_duplicate_clusters", "overlap")


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
    """All of it; PipelineError where a file is missing, broken, or not what its stage writes."""
    dropped = list(_one_of_each(clean / "dropped.parquet"))
    counted = _figures(metrics / "clean.json", "clean", *CLEAN)
    size = _figures(encoded / "vocabulary.json", "encode", "vocabulary_size")["vocabulary_size"]
    pieces = _pieces(vocabulary)
    if len(pieces) != size:
        raise _unusable(encoded, f"for {size} pieces, {vocabulary} has {len(pieces)}", "encode")
    return DataFacts(
        manifest=_figures(manifest, "download", "corpus", "files"),
        clean=_in_order(counted, [each.reason for each in dropped]),
        tokenize=_figures(metrics / "tokenize.json", "tokenize"),
        encode=_figures(metrics / "encode.json", "encode", *SPLITS),
        lengths={split: _lengths(encoded / f"{split}.parquet") for split in SPLITS},
        uses=piece_uses(encoded / "train.npy", size),
        pieces=pieces,
        examples=drawn_documents(clean / "train.parquet", examples),
        dropped=dropped,
    )


def _figures(path: Path, stage: str, *names: str) -> dict[str, Any]:
    figures = read_json(path)
    if not isinstance(figures, dict) or (
        missing := [name for name in names if name not in figures]
    ):
        found = f"no {missing[0]!r} in it" if isinstance(figures, dict) else "no figures by name"
        raise _unusable(path, found, stage)
    return figures


def _unusable(path: Path, found: object, stage: str) -> PipelineError:
    line = " ".join(str(found).split())
    return PipelineError(f"{path}: {line}; run `dvc repro -f {stage}` to make it anew")


@contextmanager
def _readable(path: Path, stage: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unusable(path, f"cannot be read: {error}", stage) from None


def _in_order(clean: dict[str, Any], first: list[str]) -> dict[str, Any]:
    """The reasons to drop as they come about: in the order of the kept examples."""
    dropped = clean["dropped"]
    names = dict.fromkeys((*(name for name in first if name in dropped), *dropped))
    return clean | {"dropped": {name: dropped[name] for name in names}}


def _lengths(path: Path) -> npt.NDArray[np.int64]:
    with _readable(path, "encode"):
        return numbers_in(path, "tokens")


def piece_uses(path: Path, pieces: int) -> npt.NDArray[np.int64]:
    """How often each piece is used in an array of ids, which stays on disk."""
    with _readable(path, "encode"):
        ids = np.load(path, mmap_mode="r")
    uses = np.zeros(pieces, np.int64)
    for start in range(0, len(ids), IDS_AT_ONCE):
        found = np.bincount(ids[start : start + IDS_AT_ONCE], minlength=pieces)
        if len(found) > pieces:
            raise _unusable(path, f"id {len(found) - 1} in a vocabulary of {pieces}", "encode")
        uses += found
    return uses


def _pieces(path: Path) -> list[str]:
    with _readable(path, "tokenize"):
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [line.rpartition("\t")[0] for line in lines]


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
    with _readable(path, "clean"):
        rows = pq.read_table(path, columns=["name", "reason", "text"]).to_pylist()
    for row in rows:
        if row["reason"] not in seen:
            seen.add(row["reason"])
            yield Dropped(row["name"], row["reason"], row["text"])
