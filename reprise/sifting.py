"""Raw files to clean splits: shards are cleaned in workers; duplicates are told in order, here."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from reprise.cleaning import REASONS, reason_to_drop, repaired, repairs, without_surrogates
from reprise.corpus import SCHEMA, SPLITS, DocumentWriter, text_bytes
from reprise.errors import PipelineError
from reprise.files import readable_write_errors, replacing
from reprise.parallel import ordered_map
from reprise.params.clean import CleanParams
from reprise.progress import Progress
from reprise.raw import Reading, Shard, Source, documents_of, shards_of
from reprise.splits import (
    DIGEST_BYTES,
    TRAIN,
    Digests,
    SeenDigests,
    drawn_split,
    first_occurrences,
    text_digest,
)

SAMPLE_CHARACTERS = 2000
DROPPED_SCHEMA = pa.schema([("name", pa.string()), ("reason", pa.string()), ("text", pa.string())])


@dataclass(frozen=True)
class Dropped:
    name: str
    reason: str
    text: str  # its first SAMPLE_CHARACTERS


@dataclass
class CleanShard:
    """What became of one shard of raw documents."""

    source: Source
    last: bool  # shard of its file
    reading: Reading
    documents: pa.RecordBatch  # kept so far: name, text
    digests: Digests
    splits: npt.NDArray[np.uint8]
    repaired: Counter[str]
    dropped: Counter[str]
    samples: list[Dropped]


def clean_shard(shard: Shard, params: CleanParams) -> CleanShard:
    """Apply the rules to each document; duplicates are left to the one who sees all shards."""
    reading = Reading()
    counts: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    samples: list[Dropped] = []
    names, texts, digests = [], [], []
    for name, raw_text in documents_of(shard, reading):
        text = repaired(raw_text, params, counts)
        name = without_surrogates(name)[0]
        reason = "too_many_characters" if shard.too_long else reason_to_drop(text, params)
        if reason is None:
            names.append(name)
            texts.append(text)
            digests.append(text_digest(text))
            continue
        dropped[reason] += 1
        if dropped[reason] <= params.samples_per_reason:
            samples.append(Dropped(name, reason, text[:SAMPLE_CHARACTERS]))
    counts["invalid_bytes"] = reading.invalid_bytes
    counts["byte_order_marks"] = reading.byte_order_marks
    counts["line_ends"] += reading.line_ends
    return CleanShard(
        shard.source,
        shard.last,
        reading,
        pa.record_batch([names, texts], schema=SCHEMA),
        np.frombuffer(b"".join(digests), dtype=f"S{DIGEST_BYTES}"),
        _splits(shard.source, digests, params),
        counts,
        dropped,
        samples,
    )


def _splits(source: Source, digests: list[bytes], params: CleanParams) -> npt.NDArray[np.uint8]:
    if source.split is not None:
        return np.full(len(digests), SPLITS.index(source.split), np.uint8)
    fractions = params.valid_fraction, params.test_fraction
    return np.array([drawn_split(d, params.split_seed, *fractions) for d in digests], np.uint8)


@dataclass
class Sifter:
    """Tells duplicates in corpus order and counts everything; 16 bytes a document of memory."""

    params: CleanParams
    documents: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    samples: list[Dropped] = field(default_factory=list)
    duplicates_between_splits: int = 0
    _seen: list[SeenDigests] = field(default_factory=lambda: [SeenDigests() for _ in SPLITS])
    _file: Reading = field(default_factory=Reading)

    def take(self, shard: CleanShard) -> Iterator[tuple[str, pa.RecordBatch]]:
        """The shard's documents that stay, by split."""
        self._check_encoding(shard)
        self.repaired += shard.repaired
        self.dropped += shard.dropped
        for sample in shard.samples:
            self._sample(sample)
        duplicate = self._duplicates(shard)
        if self.params.drop_exact_duplicates and shard.source.split in (None, SPLITS[TRAIN]):
            self._drop_duplicates(shard, duplicate)
        else:  # a published valid or test stays as it was published
            duplicate[:] = False
        self.documents["in"] += sum(shard.dropped.values()) + len(duplicate)
        self.bytes["in"] += shard.reading.bytes + shard.reading.skipped_bytes
        for index, split in enumerate(SPLITS):
            batch = shard.documents.filter(pa.array((shard.splits == index) & ~duplicate))
            self.documents[split] += batch.num_rows
            self.bytes[split] += text_bytes(batch)
            yield split, batch

    def _duplicates(self, shard: CleanShard) -> npt.NDArray[np.bool_]:
        duplicate = np.zeros(len(shard.digests), bool)
        for index, seen in enumerate(self._seen):
            rows = np.flatnonzero(shard.splits == index)
            digests = shard.digests[rows]
            fresh = first_occurrences(digests) & ~seen.holds(digests)
            for other in self._seen:
                if other is not seen:
                    self.duplicates_between_splits += int(other.holds(digests[fresh]).sum())
            seen.add(digests[fresh])
            duplicate[rows] = ~fresh
        return duplicate

    def _drop_duplicates(self, shard: CleanShard, duplicate: npt.NDArray[np.bool_]) -> None:
        self.dropped["exact_duplicate"] += int(duplicate.sum())
        for row in np.flatnonzero(duplicate)[: self.params.samples_per_reason]:
            name, text = (shard.documents.column(i)[int(row)].as_py() for i in range(2))
            self._sample(Dropped(name, "exact_duplicate", text[:SAMPLE_CHARACTERS]))

    def _sample(self, dropped: Dropped) -> None:
        kept = sum(sample.reason == dropped.reason for sample in self.samples)
        if kept < self.params.samples_per_reason:
            self.samples.append(dropped)

    def _check_encoding(self, shard: CleanShard) -> None:
        """Add up a file's invalid bytes; too many by its end is an error."""
        found, total = shard.reading, self._file
        total.bytes += found.bytes
        total.invalid_bytes += found.invalid_bytes
        if total.first_invalid is None:
            total.first_invalid = found.first_invalid
        if not shard.last:
            return
        self._file = Reading()
        fraction = total.invalid_bytes / max(total.bytes, 1)
        if fraction > self.params.max_invalid_bytes_fraction:
            where = "row" if shard.source.format == "parquet" else "byte"
            raise PipelineError(
                f"{shard.source.path}: {total.invalid_bytes} bytes are not UTF-8 ({fraction:.3%} "
                f"of the text), the first at {where} {total.first_invalid}; allowed: "
                f"clean.max_invalid_bytes_fraction {self.params.max_invalid_bytes_fraction:g}; "
                "convert the file to UTF-8 or raise that setting"
            )

    def check(self) -> None:
        """PipelineError where too little is left, or too little of it in a split."""
        read, dropped = self.documents["in"], sum(self.dropped.values())
        if not read:
            raise PipelineError(
                "clean: the corpus holds no document; put text into the files that "
                "download.corpus names"
            )
        if dropped > self.params.max_dropped_fraction * read:
            reasons = ", ".join(f"{reason} {self.dropped[reason]}" for reason in REASONS)
            raise PipelineError(
                f"clean: {dropped} of {read} documents were dropped ({reasons}); allowed: "
                f"clean.max_dropped_fraction {self.params.max_dropped_fraction:g}; look at the "
                "corpus, at the limits in clean and at download.document"
            )
        kept = read - dropped
        if kept < len(SPLITS):
            raise PipelineError(
                f"clean: {kept} documents are left, fewer than the {len(SPLITS)} splits "
                f"({', '.join(SPLITS)}); add text or cut it finer with download.document"
            )
        empty = [split for split in SPLITS if not self.documents[split]]
        if empty:
            raise PipelineError(
                f"clean: no document of {kept} fell to {' and '.join(empty)}; change "
                "clean.split_seed, raise the fraction, or cut finer with download.document"
            )

    def summary(self) -> dict[str, Any]:
        """metrics/clean.json"""
        kept = {split: self.documents[split] for split in SPLITS}
        kinds = ["invalid_bytes", "byte_order_marks", *(name for name, _ in repairs(self.params))]
        return {
            "documents": {"in": self.documents["in"], "kept": sum(kept.values()), **kept},
            "bytes": {
                "in": self.bytes["in"],
                "kept": sum(self.bytes[split] for split in SPLITS),
                **{split: self.bytes[split] for split in SPLITS},
            },
            "dropped": {reason: self.dropped[reason] for reason in REASONS},
            "repaired": {kind: self.repaired[kind] for kind in kinds},
            "duplicates_between_splits": self.duplicates_between_splits,
        }


def sift(sources: Iterable[Source], params: CleanParams, out: Path, workers: int) -> Sifter:
    """Write <split>.parquet and dropped.parquet to `out`, all of them or none."""
    sifter = Sifter(params)
    shards = (shard for source in sources for shard in shards_of(source, params.max_characters))
    with ExitStack() as stack, Progress("clean", None, "documents") as progress:
        paths = {
            name: stack.enter_context(replacing(out / f"{name}.parquet"))
            for name in (*SPLITS, "dropped")
        }
        writers = {split: DocumentWriter(paths[split]) for split in SPLITS}
        for shard in ordered_map(partial(clean_shard, params=params), shards, workers):
            before = sifter.documents["in"]
            for split, batch in sifter.take(shard):
                with readable_write_errors(out / f"{split}.parquet"):
                    writers[split].write(batch)
            progress.advance(sifter.documents["in"] - before)
        sifter.check()
        for split, writer in writers.items():
            with readable_write_errors(out / f"{split}.parquet"):
                writer.close()
        _write_dropped(sifter.samples, paths["dropped"])
    return sifter


def _write_dropped(samples: list[Dropped], path: Path) -> None:
    rows = [vars(sample) for reason in REASONS for sample in samples if sample.reason == reason]
    pq.write_table(pa.Table.from_pylist(rows, DROPPED_SCHEMA), path, compression="zstd")
