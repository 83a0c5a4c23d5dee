"""What a vocabulary is learned from, and how well it does on valid."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from reprise.corpus import read_row_group, read_texts, row_groups
from reprise.errors import PipelineError
from reprise.tokenizer import UNKNOWN_ID, Tokenizer


def sampled_texts(path: Path, sample_bytes: int, seed: int) -> Iterator[str]:
    """Whole documents, drawn by a hash of (seed, place), as many as fit into sample_bytes.

    In the corpus's order; 16 bytes of memory a document. (SentencePiece's own sampling takes a
    seed that it does not keep to in every process.)
    """
    groups = range(row_groups(path))
    lengths = [pc.binary_length(read_row_group(path, group)["text"]).to_numpy() for group in groups]
    chosen = drawn_documents(np.concatenate(lengths, dtype=np.int64), sample_bytes, seed)
    if not chosen.any():
        raise PipelineError(
            f"{path}: no document fits into tokenize.sample_bytes {sample_bytes}; raise it, or cut "
            "the corpus finer with download.document"
        )
    for text, take in zip(read_texts(path), chosen, strict=True):
        if take:
            yield text


def drawn_documents(
    lengths: npt.NDArray[np.int64], sample_bytes: int, seed: int
) -> npt.NDArray[np.bool_]:
    """True for the documents of a random order that come before sample_bytes are full."""
    order = np.argsort(hashed_places(len(lengths), seed), kind="stable")
    chosen = np.zeros(len(lengths), bool)
    chosen[order] = np.cumsum(lengths[order]) <= sample_bytes
    return chosen


def hashed_places(count: int, seed: int) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each place 0 .. count-1 (SplitMix64, Steele et al. 2014, figure 16)."""
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed % 2**32) * np.uint64(2**32)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def quality(tokenizer: Tokenizer, valid: Path) -> dict[str, Any]:
    """metrics/tokenize.json: how the vocabulary does on text that it was not learned from."""
    size, words = 0, 0
    uses = np.zeros(tokenizer.size, np.int64)
    for group in range(row_groups(valid)):
        texts = read_row_group(valid, group)["text"].to_pylist()
        for text, ids in zip(texts, tokenizer.encode_all(texts), strict=True):
            size += len(text.encode("utf-8"))
            words += len(text.split())
            uses += np.bincount(ids, minlength=tokenizer.size)
    tokens = int(uses.sum())
    return {
        "pieces": tokenizer.size,
        "bytes_per_token_on_valid": round(size / tokens, 4),
        "tokens_per_word_on_valid": round(tokens / max(words, 1), 4),
        "unknown_on_valid": int(uses[UNKNOWN_ID]),
        "byte_fallback_share_on_valid": round(int(uses[tokenizer.is_byte()].sum()) / tokens, 6),
        "pieces_unused_on_valid": int((uses == 0).sum()),
    }
