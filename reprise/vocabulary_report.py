"""What a vocabulary is like: figures to compare, and a page to decide by.

metrics/tokenize.json     the figures
data/tokenize/report.md   the same, every script, and pieces to look at
"""

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reprise.arrow import mask_of, numpy_of
from reprise.tokenizer import Tokenizer, escaped
from reprise.tokenizer_training import LINE_CHARACTERS, long_lines
from reprise.word_counts import word_counts
from reprise.wordwise import SPACE_MARK

CHARACTERS_AT_ONCE = 1 << 20
PIECES_SHOWN = 20
SCRIPTS_IN_FIGURES = 12

Uses = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OnSample:
    """What the vocabulary makes of what it was learned from."""

    uses: Uses  # of each piece
    documents: int
    bytes: int
    lines_cut: int  # longer than SentencePiece takes


@dataclass(frozen=True)
class Script:
    name: str
    characters: int
    spelt_out: int  # of them: in bytes, or unknown


@dataclass(frozen=True)
class OnValid:
    """What it makes of text that it was not learned from."""

    uses: Uses
    bytes: int
    words: int
    scripts: list[Script]  # the most frequent first


def on_sample(tokenizer: Tokenizer, sample: pa.ChunkedArray) -> OnSample:
    columns = pa.table({"text": sample}).combine_chunks()["text"].chunks  # of up to 2 GB
    uses = np.zeros(tokenizer.size, np.int64)
    documents = size = lines_cut = 0
    for texts in columns:
        uses += tokenizer.uses(texts)
        documents += len(texts)
        size += _bytes(texts)
        long = texts.filter(mask_of(numpy_of(pc.utf8_length(texts)) > LINE_CHARACTERS))
        lines_cut += sum(map(long_lines, long.to_pylist()))
    return OnSample(uses, documents, size, lines_cut)


def on_valid(tokenizer: Tokenizer, columns: Iterable[pa.StringArray]) -> OnValid:
    """Characters are looked at one by one, for a vocabulary of words word by word."""
    uses = np.zeros(tokenizer.size, np.int64)
    size = words = 0
    units: Counter[str] = Counter()
    for texts in columns:
        uses += tokenizer.uses(texts)
        size += _bytes(texts)
        words += int(word_counts(texts).sum())
        units += _words(texts) if tokenizer.type == "word" else _characters(texts)
    return OnValid(uses, size, words, _scripts(tokenizer, units))


def _bytes(texts: pa.StringArray) -> int:
    return int(pc.sum(pc.binary_length(texts)).as_py() or 0)


def _words(texts: pa.StringArray) -> Counter[str]:
    return Counter(word for text in texts.to_pylist() for word in text.split())


def _characters(texts: pa.StringArray) -> Counter[str]:
    whole = "".join(texts.to_pylist())
    found = np.zeros(sys.maxunicode + 1, np.int64)
    for start in range(0, len(whole), CHARACTERS_AT_ONCE):
        part = whole[start : start + CHARACTERS_AT_ONCE]
        codes = np.frombuffer(part.encode("utf-32-le"), np.uint32)
        found += np.bincount(codes, minlength=len(found))
    return Counter({chr(code): int(found[code]) for code in np.flatnonzero(found).tolist()})


def _scripts(tokenizer: Tokenizer, units: Counter[str]) -> list[Script]:
    """Of the units' characters but blanks."""
    spelt_out = tokenizer.is_byte()
    spelt_out[tokenizer.unknown_id] = True
    characters: Counter[str] = Counter()
    without: Counter[str] = Counter()
    # A word as it stands in a text has a blank before it, or begins a line.
    encoded = [
        tokenizer.encode_all([f"{before}{u}" for u in units]).of_each() for before in ("", " ")
    ]
    for (unit, count), *ids in zip(units.items(), *encoded, strict=True):
        apart = all(spelt_out[each].any() for each in ids)
        for character in unit:
            if not character.isspace():
                script = script_of(character)
                characters[script] += count
                without[script] += count * apart
    names = sorted(characters, key=lambda name: (-characters[name], name))
    return [Script(name, characters[name], without[name]) for name in names]


# By the first word of a character's Unicode name.
_SCRIPTS = (
    "arabic armenian bengali bopomofo cherokee cjk coptic cyrillic devanagari ethiopic georgian",
    "gothic greek gujarati gurmukhi hangul hebrew hiragana kannada katakana khmer lao latin",
    "malayalam mongolian myanmar oriya runic sinhala syriac tamil telugu thaana thai tibetan",
)
SIGNS = "digits, signs and others"


@lru_cache(maxsize=1 << 16)
def script_of(character: str) -> str:
    """latin, cjk, cyrillic and so on; digits, punctuation and the like belong to none."""
    first = unicodedata.name(character, "none").split()[0].split("-")[0].lower()
    return first if first in " ".join(_SCRIPTS).split() else SIGNS


def figures(tokenizer: Tokenizer, valid: OnValid, sample: OnSample) -> dict[str, Any]:
    """metrics/tokenize.json. A share is of the tokens, a script's of the characters."""
    tokens = max(int(valid.uses.sum()), 1)
    unknown, of_bytes = int(valid.uses[tokenizer.unknown_id]), valid.uses[tokenizer.is_byte()].sum()
    total = max(sum(script.characters for script in valid.scripts), 1)
    return {
        "pieces": tokenizer.size,
        "bytes_per_token_on_valid": round(valid.bytes / tokens, 4),
        "tokens_per_word_on_valid": round(int(valid.uses.sum()) / max(valid.words, 1), 4),
        "unknown_on_valid": unknown,
        "unknown_share_on_valid": round(unknown / tokens, 6),
        "byte_fallback_share_on_valid": round(int(of_bytes) / tokens, 6),
        "pieces_unused_on_valid": len(_unused(tokenizer, valid.uses)),
        "pieces_unused_on_sample": len(_unused(tokenizer, sample.uses)),
        "sample": {
            "documents": sample.documents,
            "bytes": sample.bytes,
            "lines_cut": sample.lines_cut,
        },
        "scripts_on_valid": {
            script.name: {
                "share": round(script.characters / total, 6),
                "spelt_out": round(script.spelt_out / script.characters, 6),
            }
            for script in valid.scripts[:SCRIPTS_IN_FIGURES]
        },
    }


def _unused(tokenizer: Tokenizer, uses: Uses) -> list[int]:
    """Of the pieces that stand for a text; bytes and marks wait for what a text may bring."""
    return np.flatnonzero(tokenizer.is_text() & (uses == 0)).tolist()


def report(tokenizer: Tokenizer, valid: OnValid, sample: OnSample) -> str:
    """data/tokenize/report.md"""
    return "\n".join(_lines(tokenizer, valid, sample)) + "\n"


def _lines(tokenizer: Tokenizer, valid: OnValid, sample: OnSample) -> Iterator[str]:
    found = figures(tokenizer, valid, sample)
    tokens = max(int(valid.uses.sum()), 1)
    yield "# The vocabulary"
    yield ""
    yield f"{tokenizer.size:,} pieces, of the type {tokenizer.type}."
    rows = [
        ("bytes a token", f"{found['bytes_per_token_on_valid']:.3f}"),
        ("tokens a word", f"{found['tokens_per_word_on_valid']:.3f}"),
        ("unknown", _share(found["unknown_on_valid"], tokens) + " of the tokens"),
        ("bytes", f"{found['byte_fallback_share_on_valid']:.3%} of the tokens"),
        ("pieces never used", f"{found['pieces_unused_on_valid']:,}"),
    ]
    yield from _section("On valid, which it was not learned from", ("quantity", "value"), rows)
    rows = [
        ("documents drawn", f"{sample.documents:,}"),
        ("their bytes", f"{sample.bytes:,}"),
        ("lines so long that they were cut", f"{sample.lines_cut:,}"),
        ("pieces never used", f"{found['pieces_unused_on_sample']:,}"),
    ]
    yield from _section("On the sample of train", ("quantity", "value"), rows)
    total = max(sum(script.characters for script in valid.scripts), 1)
    yield from _section(
        "Characters of valid, without blanks",
        ("script", "share", "of it in bytes or unknown"),
        [
            (each.name, _share(each.characters, total), _share(each.spelt_out, each.characters))
            for each in valid.scripts
        ],
    )
    yield from _piece_tables(tokenizer, sample.uses)


def _piece_tables(tokenizer: Tokenizer, uses: Uses) -> Iterator[str]:
    pieces = tokenizer.pieces()
    of_text = np.flatnonzero(tokenizer.is_text())
    used = of_text[uses[of_text] > 0]
    tables = {
        "Longest pieces": sorted(of_text.tolist(), key=lambda i: (-len(pieces[i]), i)),
        "Most frequent pieces in the sample": used[np.argsort(-uses[used], kind="stable")].tolist(),
        "Rarest of the pieces that the sample uses": used[
            np.argsort(uses[used], kind="stable")
        ].tolist(),
        "Pieces that the sample never uses": _unused(tokenizer, uses),
    }
    for title, ids in tables.items():
        rows = [
            (_shown(pieces[i]), f"{len(pieces[i])}", f"{uses[i]:,}") for i in ids[:PIECES_SHOWN]
        ]
        yield from _section(
            f"{title} ({len(rows)} of {len(ids):,})", ("piece", "characters", "uses"), rows
        )


def _section(title: str, names: tuple[str, ...], rows: list[Any]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    yield f"| {' | '.join(names)} |"
    yield f"| --- |{' ---: |' * (len(names) - 1)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3%}"


def _shown(piece: str) -> str:
    """Code in a table's cell; a space is written as SentencePiece does, as U+2581."""
    text = escaped(piece).replace(" ", SPACE_MARK).replace("|", "\\|")
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    fence = "`" * (1 + max(map(len, re.findall("`*", text))))
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`"
