"""What the data stages will take: from the bytes that are known, and rates that were measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from reprise.catalog import FilesEntry, find_entry, is_named
from reprise.corpus import SPLITS
from reprise.encoding import id_dtype
from reprise.errors import PipelineError
from reprise.files import read_json
from reprise.forecast import Forecast
from reprise.formats import is_archive
from reprise.params.download import DownloadParams
from reprise.params.tokenize import TokenizeParams

T = TypeVar("T")

MIB = 2**20


@dataclass(frozen=True)
class Rate:
    """What a stage was measured to do."""

    bytes_per_second: float
    memory: int  # bytes, the largest sum over all its processes


# docs/benchmarks.md, "The data stages": on 2 cores, from the start of a process to its end. The
# rates are those of 1 GB (600 MB for clean, tokenize's of its 20 MB sample) after START_SECONDS.
START_SECONDS = 3.0
RATES = {
    "download": Rate(249e6, 88 * MIB),
    "clean": Rate(9.6e6, 575 * MIB),
    "tokenize": Rate(6.5e6, 355 * MIB),  # of the sample that is learnt from
    "read train": Rate(88e6, 0),  # by tokenize, which looks at all of it
    "encode": Rate(34.8e6, 784 * MIB),
}
VOCABULARY_BYTES_PER_PIECE = 50  # of the model, its list for reading and the report


@dataclass(frozen=True)
class DataSizes:
    """Of the corpus that the settings name; None where no stage has told yet."""

    published: int | None  # bytes of the files as they are fetched
    raw: int | None  # bytes of the files, unpacked
    splits: Mapping[str, int] | None  # bytes of the clean text of train, valid and test
    tokens: Mapping[str, int] | None  # of each split
    documents_scored: int  # of valid and test
    pieces: int | None  # of the vocabulary

    @property
    def kept(self) -> int | None:
        return sum(self.splits.values()) if self.splits else None


def known_sizes(params: DownloadParams, catalog: Path, metrics: Path) -> DataSizes:
    """As the stages counted when they last ran on this corpus, else from the catalogue, or from
    the disk; PipelineError where a file in `metrics` is not what its stage writes."""
    ours = {params.corpus, Path(params.corpus).expanduser().resolve().name}
    raw = _counted(
        metrics / "download.json",
        lambda found: _count(found["bytes"]) if found["corpus"] in ours else None,
    )
    if raw is None:
        published, unpacked = _published_bytes(params.corpus, catalog)
        return DataSizes(published, unpacked, None, None, 0, None)
    clean, tokenize, encode = (metrics / f"{name}.json" for name in ("clean", "tokenize", "encode"))
    return DataSizes(
        raw,
        raw,
        splits=_counted(
            clean, lambda found: {name: _count(found["bytes"][name]) for name in SPLITS}
        ),
        tokens=_counted(encode, lambda found: _of_splits(found, "tokens")),
        documents_scored=_counted(encode, _documents_scored) or 0,
        pieces=_counted(tokenize, lambda found: _count(found["pieces"])),
    )


def _counted(path: Path, figures: Callable[[Any], T]) -> T | None:
    """Of what the file says; None where there is none."""
    if not path.is_file():
        return None
    try:
        return figures(read_json(path))
    except (KeyError, TypeError):
        raise PipelineError(
            f"{path}: not what its stage writes; run `dvc repro`, or remove it"
        ) from None


def _of_splits(found: Any, name: str) -> dict[str, int]:
    return {split: _count(found[split][name]) for split in SPLITS}


def _documents_scored(found: Any) -> int:
    documents = _of_splits(found, "documents")
    return documents["valid"] + documents["test"]


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError
    return value


def _published_bytes(corpus: str, catalog: Path) -> tuple[int | None, int | None]:
    """Bytes as they are fetched, and unpacked; None where that is not known beforehand."""
    own = Path(corpus).expanduser()
    if own.exists() and not is_named(catalog, corpus):
        paths = [own] if own.is_file() else [path for path in own.rglob("*") if path.is_file()]
        total = sum(path.stat().st_size for path in paths)
        return total, None if any(is_archive(path.name) for path in paths) else total
    entry = find_entry(catalog, corpus)
    if not isinstance(entry, FilesEntry):
        return None, None
    fetched = sum(file.bytes for file in entry.files)
    if any(is_archive(file.path) for file in entry.files):
        return fetched, None
    parts = (file.pieces or (file,) for file in entry.files)
    return fetched, sum(part.bytes for of_file in parts for part in of_file)


def vocabulary_size(params: TokenizeParams, sizes: DataSizes) -> int:
    """What train will find; where the text decides it, as it was last time, else at most that."""
    if params.model_file is None and params.type in ("bpe", "unigram"):
        return params.vocabulary_size
    return sizes.pieces or params.vocabulary_size


def data_forecasts(tokenize: TokenizeParams, sizes: DataSizes, pieces: int) -> list[Forecast]:
    """download, clean, tokenize, encode, data_card."""
    sample = train_bytes = None
    if sizes.splits:
        train_bytes = sizes.splits["train"]
        sample = min(train_bytes, tokenize.sample_bytes)
    learning, reading = _seconds("tokenize", sample), _seconds("read train", train_bytes)
    ids = sum(sizes.tokens.values()) * id_dtype(pieces).itemsize if sizes.tokens else None
    return [
        Forecast(
            "download",
            memory=RATES["download"].memory,
            disk=sizes.published if sizes.raw is None else sizes.raw,
            seconds=_started(_seconds("download", sizes.published)),
            note="of files at hand; a network takes what it takes"
            if sizes.raw is not None
            else "unknown until it ran: what archives hold, or what is installed",
        ),
        Forecast(
            "clean",
            memory=RATES["clean"].memory,
            disk=sizes.raw if sizes.kept is None else sizes.kept,
            seconds=_started(_seconds("clean", sizes.raw)),
            note=_until("download", sizes.raw) or "disk: at most, it is compressed",
        ),
        Forecast(
            "tokenize",
            memory=RATES["tokenize"].memory,
            disk=pieces * VOCABULARY_BYTES_PER_PIECE,
            seconds=None if learning is None or reading is None else _started(learning + reading),
            note=_until("clean", sample),
        ),
        Forecast(
            "encode",
            memory=RATES["encode"].memory,
            disk=ids,
            seconds=_started(_seconds("encode", sizes.kept)),
            note=_until("clean", sizes.kept)
            or ("" if ids is not None else "disk is unknown until it ran"),
        ),
        Forecast("data_card", memory=None, disk=None, seconds=None, note="little; not measured"),
    ]


def _seconds(name: str, size: int | None) -> float | None:
    return None if size is None else size / RATES[name].bytes_per_second


def _started(seconds: float | None) -> float | None:
    return None if seconds is None else START_SECONDS + seconds


def _until(stage: str, known: int | None) -> str:
    return "" if known is not None else f"unknown until {stage} has run"
