"""The part of clean that every shard goes through by itself, in a worker.

Left in the scratch folder for each shard, with n documents that passed the rules:
    documents   name, text
    words       (words,) uint32 hashes, documents end to end
    word_starts (n + 1,) where each document's begin
    digests     (n,) 16 bytes of each text's hash
    keys        (1 + bands, n) uint64, each row sorted: of the digest, then of each band
    order       (1 + bands, n) uint32: the documents that the keys belong to
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reprise.arrow import strings_of
from reprise.corpus import SCHEMA, SPLITS
from reprise.minhash import band_keys
from reprise.params.clean import CleanParams
from reprise.raw import Reading, Shard, Source, documents_of
from reprise.rules import Drop, Tally, apply_rules, rules_of
from reprise.rules.mending import without_surrogates
from reprise.rules.personal_data import masked
from reprise.scratch import Scratch
from reprise.splits import DIGEST_BYTES, drawn_split, is_in_fraction, text_digest
from reprise.words import Hashes64, words_of

SAMPLE_CHARACTERS = 2000
DRAWN = len(SPLITS)  # in `published`: the document's split is drawn


@dataclass(frozen=True)
class Dropped:
    name: str
    reason: str
    text: str  # its first SAMPLE_CHARACTERS


@dataclass(frozen=True)
class CleanShard:
    """What became of one shard of raw documents; the documents themselves are on disk."""

    source: Source
    last: bool  # shard of its file
    reading: Reading
    published: int  # the split that was published, or DRAWN
    draws: npt.NDArray[np.uint8]  # the split that each document would fall to by itself
    in_fraction: npt.NDArray[np.bool_]
    changed: Tally
    dropped: Counter[str]
    samples: list[Dropped]

    @property
    def documents(self) -> int:
        return len(self.draws)


def clean_shard(task: tuple[int, Shard], params: CleanParams, scratch: Scratch) -> CleanShard:
    """Apply the rules to each document, and leave those that pass in the scratch folder."""
    index, shard = task
    reading, changed, dropped = Reading(), Tally(), Counter[str]()
    samples: list[Dropped] = []
    names, texts = [], []
    rules = rules_of(params)
    for raw_name, raw_text in documents_of(shard, reading):
        name = without_surrogates(raw_name, Tally())
        result = (
            Drop("too_many_characters") if shard.too_long else apply_rules(raw_text, rules, changed)
        )
        if isinstance(result, str):
            names.append(name)
            texts.append(result)
            continue
        dropped[result.reason] += 1
        if dropped[result.reason] <= params.samples_per_reason:
            samples.append(Dropped(name, result.reason, _sample(raw_text, params)))
    digests = [text_digest(text) for text in texts]
    _leave(index, names, texts, digests, params, scratch)
    changed["invalid_bytes"] = reading.invalid_bytes
    changed["byte_order_marks"] = reading.byte_order_marks
    changed["line_ends"] += reading.line_ends
    seed, fractions = params.split_seed, (params.valid_fraction, params.test_fraction)
    split = shard.source.split
    return CleanShard(
        shard.source,
        shard.last,
        reading,
        DRAWN if split is None else SPLITS.index(split),
        np.array([drawn_split(digest, seed, *fractions) for digest in digests], np.uint8),
        np.array([is_in_fraction(digest, seed, params.fraction) for digest in digests], bool),
        changed,
        dropped,
        samples,
    )


def _sample(text: str, params: CleanParams) -> str:
    """The beginning of a dropped text, to be read: nothing personal in it, if rules say so."""
    beginning = without_surrogates(text[:SAMPLE_CHARACTERS], Tally())
    if "personal_data" in params.rules:
        return masked(params.personal_data, beginning, Tally())
    return beginning


def _leave(
    index: int,
    names: list[str],
    texts: list[str],
    digests: list[bytes],
    params: CleanParams,
    scratch: Scratch,
) -> None:
    columns = [strings_of(names), strings_of(texts)]
    scratch.save_documents(index, pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
    words = words_of(texts)
    scratch.save(index, "words", words.hashes)
    scratch.save(index, "word_starts", words.starts)
    hashes = np.frombuffer(b"".join(digests), f"S{DIGEST_BYTES}")
    scratch.save(index, "digests", hashes)
    keys = _digest_keys(digests)
    if params.near_duplicates != "off":
        bands = band_keys(words, params.shingle_words, params.minhash_bands, params.minhash_rows)
        keys = np.concatenate([keys, bands])
    order = np.argsort(keys, axis=1, kind="stable")
    scratch.save(index, "keys", np.take_along_axis(keys, order, axis=1))
    scratch.save(index, "order", order.astype(np.uint32))


def _digest_keys(digests: list[bytes]) -> Hashes64:
    """(1, documents): the digest's first bytes."""
    values = np.frombuffer(b"".join(digests), np.dtype(">u8")).reshape(-1, 2)
    return values[:, :1].T.astype(np.uint64)
