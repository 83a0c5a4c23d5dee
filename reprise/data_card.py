"""metrics/data_card.md: what a person reads before training on a corpus. Markdown with YAML on top.

The head has the fields of Hugging Face's dataset cards. No text of valid or test is shown: the
documents come from train, and of dropped ones only those that are no copy of something kept.
"""

import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from reprise.corpus import SPLITS
from reprise.data_facts import DataFacts, Dropped
from reprise.data_plots import percent, zipf_fit
from reprise.markdown import code, fenced, plain, table

EXAMPLE_CHARACTERS = 600
DROPPED_CHARACTERS = 200
ROWS_SHOWN = 20  # of files, of sources, of pieces
QUANTILES = (0, 25, 50, 75, 90, 99, 100)
COUNTS = ("documents", "bytes", "words", "tokens")
UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))

# https://huggingface.co/docs/hub/datasets-cards and .../repositories-licenses
SIZES = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"]
SIZES += ["1B<n<10B", "10B<n<100B", "100B<n<1T", "n>1T"]
LICENCES = re.compile(
    r"(apache-2\.0|mit|bsd-[23]-clause|unlicense|gfdl|pddl|odbl|odc-by|cc0-1\.0"
    r"|cc-by-(2\.0|2\.5|3\.0|4\.0)|cc-by-(sa|nc)-[34]\.0|cc-by-nd-4\.0|cc-by-nc-nd-[34]\.0"
    r"|cc-by-nc-sa-[234]\.0|cdla-(sharing-1\.0|permissive-[12]\.0))"
)
SHARES = ("share", "fraction", "spelt_out")  # in names of figures from 0 to 1
NO_TEXT = re.compile(r"<0x[0-9A-F]{2}>|<\|.*\|>|<unk>")  # pieces for bytes, and marks
NOT_STATED = "not stated"


def data_card(facts: DataFacts, plots: str) -> str:
    """The card; `plots` is where the pictures lie, seen from it."""
    sections = [
        _head(facts),
        f"# {plain(_title(facts.manifest))}",
        _summary(facts),
        "## Where it comes from",
        *_origin(facts.manifest),
        "## Splits",
        *_splits(facts, f"{plots}/lengths.svg"),
        "## What was dropped",
        *_dropped(facts, f"{plots}/dropped.svg"),
        "## What was changed",
        *_changed(facts.clean),
        "## Copies",
        *_copies(facts.clean),
        "## Vocabulary",
        *_vocabulary(facts, f"{plots}/pieces.svg"),
        "## Documents of train, drawn at random",
        *_examples(facts),
    ]
    return "\n\n".join(sections) + "\n"


def _title(manifest: dict[str, Any]) -> str:
    return str(manifest.get("title") or manifest["corpus"])


def _head(facts: DataFacts) -> str:
    kept = facts.clean["documents"]["kept"]
    languages = _languages(facts.manifest)
    head = {
        "pretty_name": _title(facts.manifest),
        **({"language": languages} if languages else {}),
        **_licence(facts.manifest.get("licence") or NOT_STATED),
        "size_categories": [SIZES[min(max(len(str(kept)) - 3, 0), len(SIZES) - 1)]],
        "task_categories": ["text-generation"],
        "tags": ["language-modeling"],
    }
    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 1000
    yaml.dump(head, text)
    return f"---\n{text.getvalue()}---"


def _languages(manifest: dict[str, Any]) -> list[str]:
    return re.findall(r"[\w-]+", str(manifest.get("language") or ""))


def _licence(stated: str) -> dict[str, Any]:
    """The names that Hugging Face knows; else `other`, with what was stated."""
    names = [name.lower() for name in stated.split(" and ")]
    if stated == NOT_STATED:
        return {"license": "unknown"}
    if all(map(LICENCES.fullmatch, names)):
        return {"license": names[0] if len(names) == 1 else names}
    return {"license": "other", "license_name": stated}


def _summary(facts: DataFacts) -> str:
    documents, dropped = facts.clean["documents"], facts.clean["dropped"]
    totals = {name: _total(facts, name) for name in COUNTS}
    tokens = " / ".join(f"{facts.encode[split]['tokens']:,}" for split in SPLITS)
    kept = (
        f"**{_size(totals['bytes'])} of text in {documents['kept']:,} documents**: "
        f"{totals['words']:,} words, {totals['tokens']:,} tokens ({tokens} in "
        f"{' / '.join(SPLITS)}) of a vocabulary of {len(facts.pieces):,} pieces, "
        f"{totals['bytes'] / max(totals['tokens'], 1):.2f} bytes a token."
    )
    gone = documents["in"] - documents["kept"]
    if not gone:
        return f"{kept} Nothing was dropped. {_overlap_in_short(facts.clean)}"
    most = max(dropped, key=lambda reason: dropped[reason])
    return (
        f"{kept} Of {documents['in']:,} documents read, {gone:,} ({percent(gone, documents['in'])})"
        f" were dropped, most often for the reason {_words(most)} ({dropped[most]:,}). "
        f"{_overlap_in_short(facts.clean)}"
    )


def _overlap_in_short(clean: dict[str, Any]) -> str:
    found = [
        f"{_several(overlap['overlapping_documents'], 'document')} of {split} "
        f"({overlap['overlap']:.2%})"
        for split, overlap in _overlaps(clean)
        if overlap["overlapping_documents"]
    ]
    if not found:
        return "No document of valid or test was found in train."
    return f"Found in train too: {' and '.join(found)}; see Copies."


def _total(facts: DataFacts, name: str) -> int:
    return sum(facts.encode[split][name] for split in SPLITS)


def _origin(manifest: dict[str, Any]) -> Iterator[str]:
    facts = [("corpus", code(manifest["corpus"]))]
    facts.append(("licence", plain(manifest.get("licence") or NOT_STATED)))
    if languages := _languages(manifest):
        facts.append(("language", ", ".join(languages)))
    if homepage := manifest.get("homepage"):
        facts.append(("homepage", _address(homepage)))
    sources = manifest.get("sources") or []
    facts += [("from", _source(source)) for source in sources[:ROWS_SHOWN]]
    yield "\n".join(f"- {name}: {value}" for name, value in facts)
    if len(sources) > ROWS_SHOWN:
        yield f"And {len(sources) - ROWS_SHOWN:,} more sources."
    files = manifest["files"]
    yield f"{_several(len(files), 'file')}, {sum(file['bytes'] for file in files):,} bytes:"
    rows = [
        (
            *(code(file["path"]), f"{file['bytes']:,}", code(file["sha256"])),
            *(", ".join(_reading(file)), file["split"] or "drawn"),
        )
        for file in files[:ROWS_SHOWN]
    ]
    yield table(("file", "bytes", "sha256", "read as", "split"), rows)
    if len(files) > ROWS_SHOWN:
        yield f"And {len(files) - ROWS_SHOWN:,} more: see `data/download/manifest.json`."


def _source(source: Any) -> str:
    """A line on where files come from: addresses, or what is known of a package."""
    if not isinstance(source, dict):
        return _address(str(source))
    known = {name: value for name, value in source.items() if value}
    return "; ".join(
        f"{'' if name == 'addresses' else _words(name) + ' '}"
        f"{', '.join(map(_named, value if isinstance(value, list) else [value]))}"
        for name, value in known.items()
    )


def _named(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else _address(str(value))


def _address(text: str) -> str:
    """A link where the text is an address on the web."""
    return f"<{text}>" if re.fullmatch(r"https?://[^\s<>]+", text) else plain(text)


def _reading(file: dict[str, Any]) -> Iterator[str]:
    yield file["format"]
    if file.get("document"):
        yield f"cut by {file['document']}"
    if file.get("text_field"):
        yield f"field {code(file['text_field'])}"


def _splits(facts: DataFacts, picture: str) -> Iterator[str]:
    published = {file["split"] for file in facts.manifest["files"]}
    if published == {None}:
        yield "No splits were published: each document's is drawn by a hash of its text."
    elif None in published:
        names = " and ".join(split for split in SPLITS if split in published)
        yield f"Published, and kept so: {names}. The others are drawn by a hash of each text."
    else:
        yield "As they were published."
    tokens = _total(facts, "tokens")
    rows = []
    for split in SPLITS:
        counts = facts.encode[split]
        shares = (percent(counts["tokens"], tokens), _ratio(counts["bytes"], counts["tokens"]))
        rows.append((split, *(f"{counts[name]:,}" for name in COUNTS), *shares))
    totals = {name: _total(facts, name) for name in COUNTS}
    shares = (percent(tokens, tokens), _ratio(totals["bytes"], tokens))
    rows.append(("all", *(f"{totals[name]:,}" for name in COUNTS), *shares))
    yield table(("split", *COUNTS, "of all tokens", "bytes a token"), rows)
    yield "Words are what stands between blanks. Length of documents in tokens, with the end mark:"
    rows = []
    for split in SPLITS:
        lengths = facts.lengths[split]
        at = np.percentile(lengths, QUANTILES, method="lower").tolist() if len(lengths) else []
        rows.append((split, *(f"{int(value):,}" for value in at)))
    yield table(("split", "shortest", "25%", "median", "75%", "90%", "99%", "longest"), rows)
    yield f"![Lengths of documents by split]({picture})"


def _dropped(facts: DataFacts, picture: str) -> Iterator[str]:
    documents, sizes = facts.clean["documents"], facts.clean["bytes"]
    read = left = documents["in"]
    rows = [("read", f"{read:,}", percent(read, read), f"{read:,}")]
    for reason, count in facts.clean["dropped"].items():
        left -= count
        if count:
            rows.append((_words(reason), f"-{count:,}", percent(count, read), f"{left:,}"))
    kept = documents["kept"]
    rows.append(("kept", f"{kept:,}", percent(kept, read), f"{kept:,}"))
    yield (
        f"{_size(sizes['in'])} were read, {_size(sizes['kept'])} are kept. Each document that was "
        "dropped counts once, for the first reason found."
    )
    yield table(("", "documents", "of those read", "left"), rows)
    yield f"![From documents read to documents kept]({picture})"
    if not facts.dropped:
        return
    yield "An example of each reason (more are in `data/clean/dropped.parquet`):"
    for dropped in facts.dropped:
        reason, name = _words(dropped.reason), code(dropped.name)
        if _may_be_told(dropped, facts.manifest):
            yield f"**{reason}**: {name}"
            yield fenced(_shortened(dropped.text, DROPPED_CHARACTERS))
        else:
            yield f"**{reason}**: {name} (not shown: its text, or a copy, may be in valid or test)"


def _may_be_told(dropped: Dropped, manifest: dict[str, Any]) -> bool:
    """Whether a text is sure not to be one of valid or test, nor a copy of one."""
    if dropped.reason.endswith("_duplicate"):
        return False
    if all(file["split"] in (None, "train") for file in manifest["files"]):
        return True
    return any(
        dropped.name == file["path"] or dropped.name.startswith(f"{file['path']}:")
        for file in manifest["files"]
        if file["split"] in (None, "train")
    )


def _changed(clean: dict[str, Any]) -> Iterator[str]:
    rows = [(_words(name), f"{count:,}") for name, count in clean["changed"].items() if count]
    if not rows:
        yield "Nothing."
        return
    yield "Counted before documents were dropped:"
    yield table(("what", "how often"), rows)


def _overlaps(clean: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """In the order of the splits."""
    yield from ((split, clean["overlap"][split]) for split in SPLITS if split in clean["overlap"])


def _copies(clean: dict[str, Any]) -> Iterator[str]:
    copies = clean["dropped"].get("exact_duplicate", 0), clean["dropped"].get("near_duplicate", 0)
    yield (
        f"{copies[0]:,} documents were dropped because the same text, and {copies[1]:,} because "
        f"nearly the same, came before. {_several(clean['near_duplicate_clusters'], 'group')} of "
        "documents are nearly the same; no such group straddles two drawn splits."
    )
    yield "What valid and test have in common with train:"
    rows = [
        (
            split,
            *(f"{found[name]:,}" for name in ("documents", "exact_duplicates", "near_duplicates")),
            f"{found['documents_with_shared_ngrams']:,}",
            percent(found["shared_ngrams"], found["ngrams"]),
            f"{found['overlapping_documents']:,} ({found['overlap']:.2%})",
        )
        for split, found in _overlaps(clean)
    ]
    names = ("split", "documents", "equal", "nearly equal", "shared runs", "of all runs")
    yield table((*names, "overlapping"), rows)
    yield "\n".join(
        (
            "- equal, nearly equal: a document of train has the same text, or nearly the same "
            "(`clean.near_duplicate_similarity`).",
            "- shared runs: documents with a run of words (`clean.overlap_ngram_words`) that train "
            "has too. Phrases that everyone uses count here: some is normal.",
            "- of all runs: how many of the split's runs of words are in train.",
            "- overlapping: equal, nearly equal, or with most runs of words in train "
            "(`clean.overlap_ngram_fraction`). On these a model is tested for memory rather than "
            "for what it learned; `clean.max_overlap` says how many are let pass.",
        )
    )


def _vocabulary(facts: DataFacts, picture: str) -> Iterator[str]:
    rows, tables = [], []
    for name, value in facts.tokenize.items():
        if isinstance(value, dict) and all(isinstance(each, dict) for each in value.values()):
            tables.append(_figures_of_each(name, value))
        else:
            rows += [(plain(_words(each)), _value(each, at)) for each, at in _flat(name, value)]
    unused = [
        piece
        for piece, uses in zip(facts.pieces, facts.uses.tolist(), strict=True)
        if not uses and not NO_TEXT.fullmatch(piece)
    ]
    rows.append(("pieces never used in train", f"{len(unused):,}"))
    yield table(("what", "figure"), rows)
    yield from tables
    total = int(facts.uses.sum())
    order = np.lexsort((np.arange(len(facts.uses)), -facts.uses))[:ROWS_SHOWN]
    most = [
        f"{code(facts.pieces[piece])} {percent(int(facts.uses[piece]), total)}"
        for piece in order.tolist()
        if facts.uses[piece]
    ]
    yield f"Most used in train: {', '.join(most)}. More is in `data/tokenize/report.md`."
    yield f"![Uses of pieces by rank]({picture})"
    if fit := zipf_fit(facts.uses):
        yield (
            f"Zipf's law fits with an exponent of {fit.exponent:.2f}, from rank 10 to half of the "
            "pieces used. Words of a language have about 1; pieces of words less. Pieces that fall "
            "far below the line at its end are hardly ever used: bytes, rare characters, or too "
            "large a vocabulary for this text."
        )


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for inner, each in value.items():
            yield from _flat(f"{name}: {inner}", each)
    else:
        yield name, value


def _figures_of_each(name: str, things: dict[str, dict[str, Any]]) -> str:
    """A table of things with the same figures each."""
    names = list(dict.fromkeys(figure for figures in things.values() for figure in figures))
    rows = [
        (plain(thing), *(_value(each, figures.get(each, "")) for each in names))
        for thing, figures in things.items()
    ]
    return table((plain(_words(name)), *map(_words, names)), rows)


def _value(name: str, value: Any) -> str:
    """A figure for reading; texts are pieces, or part of them."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        inner = [_value(name, each) for each in value]
        return (" " if any(isinstance(each, int) for each in value) else ", ").join(inner)
    if isinstance(value, str):
        return code(value) if value else ""
    if isinstance(value, float):
        return f"{value:.2%}" if any(share in name for share in SHARES) else f"{value:,}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _examples(facts: DataFacts) -> Iterator[str]:
    for document in facts.examples:
        length = len(document.text)
        cut = f", the first {EXAMPLE_CHARACTERS}" if length > EXAMPLE_CHARACTERS else ""
        yield f"{code(document.name)} ({length:,} characters{cut})"
        yield fenced(_shortened(document.text, EXAMPLE_CHARACTERS))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _several(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _ratio(part: int, whole: int) -> str:
    return f"{part / max(whole, 1):.2f}"


def _size(size: int) -> str:
    unit = next(((one, name) for one, name in UNITS if size >= one), (1, "bytes"))
    return f"{size:,} bytes" if unit[0] == 1 else f"{size / unit[0]:.1f} {unit[1]}"


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[:characters].rstrip() + " …"
