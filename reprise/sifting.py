"""Raw files to clean splits, in passes over shards that workers share.

1. Each shard by itself: rules; words and keys of what passes go to the scratch folder.
2. Equal and near duplicates over all shards, by ranges of their keys.
3. What becomes of each document: its split, or the reason to drop it.
4. What valid and test have in common with train: too much is an error.
5. The splits are written, in the order of the corpus.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reprise.arrow import mask_of, strings_of
from reprise.corpus import SPLITS, DocumentWriter, text_bytes
from reprise.duplicates import find_duplicates
from reprise.errors import PipelineError
from reprise.files import readable_write_errors, replacing
from reprise.memory import give_back_large_blocks
from reprise.overlap import find_shared_runs
from reprise.parallel import Workers, ordered_map
from reprise.params.clean import CleanParams
from reprise.progress import Progress
from reprise.raw import Reading, Shard, Source, shards_of
from reprise.rules import Tally, changes_of, reasons_of
from reprise.scratch import Scratch, scratch_in
from reprise.settlement import (
    LATE_REASONS,
    PAIRS_TOLD,
    Candidates,
    Overlap,
    Settlement,
    overlap_of,
    settle,
)
from reprise.shard_cleaning import SAMPLE_CHARACTERS, CleanShard, Dropped, clean_shard
from reprise.splits import TEST, VALID

DROPPED_SCHEMA = pa.schema([("name", pa.string()), ("reason", pa.string()), ("text", pa.string())])
KINDS = {"exact": "exact duplicate", "near": "near duplicate", "copied": "most of its words"}


@dataclass
class Tallies:
    """What is counted on the way, and some examples of what was dropped."""

    params: CleanParams
    documents: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    changed: Tally = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    samples: list[Dropped] = field(default_factory=list)
    clusters: int = 0
    overlaps: dict[str, Overlap] = field(default_factory=dict)
    _file: Reading = field(default_factory=Reading)

    @property
    def reasons(self) -> tuple[str, ...]:
        return (*reasons_of(self.params), *LATE_REASONS)

    def add(self, shard: CleanShard) -> None:
        self.documents["in"] += shard.documents + sum(shard.dropped.values())
        self.bytes["in"] += shard.reading.bytes + shard.reading.skipped_bytes
        self.changed += shard.changed
        self.dropped += shard.dropped
        for sample in shard.samples:
            self.sample(sample)
        self._check_encoding(shard)

    def sample(self, dropped: Dropped) -> None:
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
                f"{shard.source.path}: {total.invalid_bytes} bytes are not "
                f"{shard.source.encoding.upper()} ({fraction:.3%} "
                f"of the text), the first at {where} {total.first_invalid}; allowed: "
                f"clean.max_invalid_bytes_fraction {self.params.max_invalid_bytes_fraction:g}; "
                "set download.encoding, convert the file to UTF-8 or raise that setting"
            )

    def settled(self, settlement: Settlement) -> None:
        self.clusters = settlement.clusters
        for code, reason in enumerate(LATE_REASONS, 1):
            self.dropped[reason] = int((settlement.reasons == code).sum())
        for code, split in enumerate(SPLITS):
            self.documents[split] = int((settlement.splits == code).sum())
        self._check()

    def _check(self) -> None:
        """PipelineError where too little is left, or too little of it in a split."""
        read = self.documents["in"]
        dropped = sum(self.dropped[reason] for reason in self.reasons[:-1])
        if not read:
            raise PipelineError(
                "clean: the corpus holds no document; put text into the files that "
                "download.corpus names"
            )
        if dropped > self.params.max_dropped_fraction * read:
            reasons = ", ".join(f"{r} {self.dropped[r]}" for r in self.reasons if self.dropped[r])
            raise PipelineError(
                f"clean: {dropped} of {read} documents were dropped ({reasons}); allowed: "
                f"clean.max_dropped_fraction {self.params.max_dropped_fraction:g}; look at the "
                "corpus, at data/clean/dropped.parquet of an earlier run, at the limits in clean "
                "and at download.document"
            )
        kept = sum(self.documents[split] for split in SPLITS)
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
        changes = ("invalid_bytes", "byte_order_marks", *changes_of(self.params))
        return {
            "documents": self._by_split(self.documents),
            "bytes": self._by_split(self.bytes),
            "dropped": {reason: self.dropped[reason] for reason in self.reasons},
            "changed": {kind: self.changed[kind] for kind in changes},
            "near_duplicate_clusters": self.clusters,
            "overlap": {split: overlap.figures() for split, overlap in self.overlaps.items()},
        }

    def _by_split(self, counts: Counter[str]) -> dict[str, int]:
        kept = {split: counts[split] for split in SPLITS}
        return {"in": counts["in"], "kept": sum(kept.values()), **kept}


def sift(sources: Iterable[Source], params: CleanParams, out: Path, workers: Workers) -> Tallies:
    """Write <split>.parquet and dropped.parquet to `out`, all of them or none."""
    give_back_large_blocks()
    tallies = Tallies(params)
    with scratch_in(out) as scratch:
        candidates = _clean_shards(sources, params, scratch, workers, tallies)
        groups = find_duplicates(scratch, len(candidates.draws), params, workers)
        settlement = settle(candidates, groups, params)
        tallies.settled(settlement)
        runs = find_shared_runs(scratch, settlement.splits, params.overlap_ngram_words, workers)
        tallies.overlaps = {
            SPLITS[split]: overlap_of(split, settlement, runs, params.overlap_ngram_fraction)
            for split in (VALID, TEST)
        }
        _check_overlaps(tallies.overlaps, params, scratch)
        _write(settlement, scratch, out, tallies)
    return tallies


def _clean_shards(
    sources: Iterable[Source],
    params: CleanParams,
    scratch: Scratch,
    workers: Workers,
    tallies: Tallies,
) -> Candidates:
    raw: Iterator[tuple[int, Shard]] = enumerate(
        shard for source in sources for shard in shards_of(source, params.max_characters)
    )
    found = [Candidates.none()]
    with Progress("clean", None, "documents") as progress:
        for shard in ordered_map(
            partial(clean_shard, params=params, scratch=scratch), raw, workers
        ):
            tallies.add(shard)
            progress.advance(shard.documents)
            found.append(Candidates.of(shard))
    scratch.save_starts([len(candidates.draws) for candidates in found[1:]])
    return Candidates.joined(found)


def _check_overlaps(overlaps: dict[str, Overlap], params: CleanParams, scratch: Scratch) -> None:
    faults = []
    for split, overlap in overlaps.items():
        if overlap.fraction <= params.max_overlap:
            continue
        faults.append(
            f"clean: {overlap.overlapping} of {overlap.documents} documents of {split} "
            f"({overlap.fraction:.2%}) are in train too ({len(overlap.exact)} exact duplicates, "
            f"{len(overlap.near)} near duplicates, {len(overlap.copied)} by their words); allowed: "
            f"clean.max_overlap {params.max_overlap:g}; take them out of one of the two, or raise "
            "that setting"
        )
        pairs = list(overlap.pairs())
        faults += [
            f"{split}: {_name(document, scratch)} is in train as {_name(other, scratch)} "
            f"({KINDS[kind]})"
            for kind, document, other in pairs[:PAIRS_TOLD]
        ]
        if len(pairs) > PAIRS_TOLD:
            faults.append(f"{split}: and {len(pairs) - PAIRS_TOLD} more")
    if faults:
        raise PipelineError(*faults)


def _name(document: int, scratch: Scratch) -> str:
    shard, place = scratch.place(document)
    name: str = scratch.load_documents(shard)["name"][place].as_py()
    return name


def _write(settlement: Settlement, scratch: Scratch, out: Path, tallies: Tallies) -> None:
    with ExitStack() as stack, Progress("write", len(settlement.splits), "documents") as progress:
        paths = {
            name: stack.enter_context(replacing(out / f"{name}.parquet"))
            for name in (*SPLITS, "dropped")
        }
        writers = {split: DocumentWriter(paths[split]) for split in SPLITS}
        for shard, (low, high) in enumerate(pairwise(scratch.starts.tolist())):
            documents = scratch.load_documents(shard)
            for code, split in enumerate(SPLITS):
                batch = documents.filter(mask_of(settlement.splits[low:high] == code))
                tallies.bytes[split] += text_bytes(batch)
                with readable_write_errors(out / f"{split}.parquet"):
                    writers[split].write(batch)
            for code, reason in enumerate(LATE_REASONS, 1):
                places = np.flatnonzero(settlement.reasons[low:high] == code)
                for place in places[: tallies.params.samples_per_reason].tolist():
                    name, text = (column[place].as_py() for column in documents.columns)
                    tallies.sample(Dropped(name, reason, text[:SAMPLE_CHARACTERS]))
            progress.advance(high - low)
        for split, writer in writers.items():
            with readable_write_errors(out / f"{split}.parquet"):
                writer.close()
        _write_dropped(tallies, paths["dropped"])


def _write_dropped(tallies: Tallies, path: Path) -> None:
    rows = [
        sample
        for reason in tallies.reasons
        for sample in tallies.samples
        if sample.reason == reason
    ]
    columns = [strings_of([getattr(row, name) for row in rows]) for name in DROPPED_SCHEMA.names]
    table = pa.Table.from_arrays(columns, schema=DROPPED_SCHEMA)
    pq.write_table(table, path, compression="zstd")
