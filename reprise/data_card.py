"""metrics/data_card.md: what a person reads before training on a corpus. Markdown with YAML on top.

The head has the fields of Hugging Face's dataset cards. Texts that are shown come from train and
from what was dropped, never from valid or test.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from reprise.corpus import SPLITS
from reprise.data_facts import DataFacts
from reprise.data_plots import zipf_exponent

EXAMPLE_CHARACTERS = 600
DROPPED_CHARACTERS = 200
FILES_SHOWN = 20
QUANTILES = (0, 25, 50, 75, 90, 99, 100)
SIZES = [(10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")]


def data_card(facts: DataFacts, plots: str) -> str:
    """The card; `plots` is where the pictures lie, seen from it."""
    sections = [
        _head(facts),
        f"# {facts.manifest.get('title', facts.manifest['corpus'])}",
        _summary(facts),
        "## Where it comes from",
        *_origin(facts.manifest),
        "## Splits",
        _splits(facts),
        f"![Lengths of documents]({plots}/lengths.svg)",
        _quantiles(facts),
        "## What was dropped",
        _dropped(facts.clean),
        f"![Documents from in to kept]({plots}/dropped.svg)",
        *_dropped_examples(facts),
        "## What was changed",
        _changed(facts.clean),
        "## Copies",
        _copies(facts.clean),
        "## Vocabulary",
        _vocabulary(facts),
        f"![Frequency of pieces]({plots}/pieces.svg)",
        "## Documents of train, drawn at random",
        *_examples(facts),
    ]
    return "\n\n".join(sections) + "\n"


def _head(facts: DataFacts) -> str:
    documents = facts.clean["documents"]["kept"]
    size = next((name for limit, name in SIZES if documents < limit), "n>1M")
    head = {
        "pretty_name": facts.manifest.get("title", facts.manifest["corpus"]),
        "language": [facts.manifest["language"]] if "language" in facts.manifest else [],
        "license": facts.manifest["licence"],
        "size_categories": [size],
        "task_categories": ["text-generation"],
        "tags": ["language-modeling"],
    }
    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 1000
    yaml.dump(head, text)
    return f"---\n{text.getvalue()}---"


def _summary(facts: DataFacts) -> str:
    kept, read = facts.clean["documents"]["kept"], facts.clean["documents"]["in"]
    totals = {
        name: sum(facts.encode[split][name] for split in SPLITS)
        for name in ("bytes", "words", "tokens")
    }
    return (
        f"{kept:,} documents of {read:,} are kept: {_megabytes(totals['bytes'])} of text, "
        f"{totals['words']:,} words, {totals['tokens']:,} tokens of a vocabulary of "
        f"{len(facts.pieces):,} pieces."
    )


def _origin(manifest: dict[str, Any]) -> Iterator[str]:
    facts = [("corpus", manifest["corpus"]), ("licence", manifest["licence"])]
    facts += [(name, manifest[name]) for name in ("language", "homepage") if name in manifest]
    yield _table(("", ""), facts)
    files = manifest["files"]
    rows = [
        (file["path"], f"{file['bytes']:,}", f"`{file['sha256']}`", file["split"] or "drawn")
        for file in files[:FILES_SHOWN]
    ]
    yield _table(("file", "bytes", "sha256", "split"), rows)
    if len(files) > FILES_SHOWN:
        yield f"And {len(files) - FILES_SHOWN:,} more files: see `data/download/manifest.json`."


def _splits(facts: DataFacts) -> str:
    names = ("documents", "bytes", "words", "tokens")
    rows = [(split, *(f"{facts.encode[split][name]:,}" for name in names)) for split in SPLITS]
    sums = (f"{sum(facts.encode[split][name] for split in SPLITS):,}" for name in names)
    return _table(("split", *names), [*rows, ("all", *sums)])


def _quantiles(facts: DataFacts) -> str:
    rows = []
    for split in SPLITS:
        lengths = facts.lengths[split]
        at = np.percentile(lengths, QUANTILES, method="lower") if len(lengths) else np.zeros(0)
        rows.append((split, *(f"{int(value):,}" for value in at)))
    names = ("shortest", "25%", "median", "75%", "90%", "99%", "longest")
    return "Tokens a document:\n\n" + _table(("split", *names), rows)


def _dropped(clean: dict[str, Any]) -> str:
    read = left = clean["documents"]["in"]
    rows = [("documents in", f"{read:,}", "", "")]
    for reason, count in clean["dropped"].items():
        left -= count
        if count:
            rows.append((_words(reason), f"-{count:,}", _share(count, read), f"{left:,}"))
    rows.append(("documents kept", f"{left:,}", _share(left, read), ""))
    return _table(("", "documents", "share", "left"), rows)


def _dropped_examples(facts: DataFacts) -> Iterator[str]:
    if not facts.dropped:
        return
    yield "An example of each reason (more are in `data/clean/dropped.parquet`):"
    for dropped in facts.dropped:
        title = f"{_words(dropped.reason)}: {_code(dropped.name)}"
        yield f"{title}\n\n{_fenced(_shortened(dropped.text, DROPPED_CHARACTERS))}"


def _changed(clean: dict[str, Any]) -> str:
    rows = [(_words(name), f"{count:,}") for name, count in clean["changed"].items() if count]
    return _table(("", "how often"), rows) if rows else "Nothing."


def _copies(clean: dict[str, Any]) -> str:
    clusters = clean["near_duplicate_clusters"]
    rows = [
        (
            split,
            f"{found['documents']:,}",
            f"{found['exact_duplicates']:,}",
            f"{found['near_duplicates']:,}",
            f"{found['documents_with_shared_ngrams']:,}",
            _share(found["shared_ngrams"], found["ngrams"]),
            f"{found['overlapping_documents']:,} ({found['overlap']:.2%})",
        )
        for split, found in clean["overlap"].items()
    ]
    names = (
        *("split", "documents", "equal to one of train", "nearly equal"),
        *("share a long run of words with train", "of all such runs", "overlapping"),
    )
    return (
        f"Clusters of near duplicates in the corpus: {clusters:,}. What valid and test have in "
        "common with train (a document overlaps when it is equal or nearly equal to one of train, "
        "or when most of its runs of words are in train; figures on a split with much overlap "
        "tell more of memory than of generalisation):\n\n" + _table(names, rows)
    )


def _vocabulary(facts: DataFacts) -> str:
    rows = [(_words(name), _value(value)) for name, value in _flat(facts.tokenize)]
    rows.append(("exponent of Zipf's law in train", f"{zipf_exponent(facts.uses):.3f}"))
    rows.append(("pieces never used in train", f"{int((facts.uses == 0).sum()):,}"))
    return _table(("", ""), rows)


def _flat(figures: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}: ")
        else:
            yield before + name, value


def _examples(facts: DataFacts) -> Iterator[str]:
    for document in facts.examples:
        text = _shortened(document.text, EXAMPLE_CHARACTERS)
        yield f"{_code(document.name)}\n\n{_fenced(text)}"


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; columns of numbers stand to the right."""
    body = [[_cell(cell) for cell in row] for row in rows]
    right = [
        bool(body)
        and all(re.fullmatch(r"-?[\d,.]*( ?[%(].*)?", row[i]) for row in body if i < len(row))
        for i in range(len(names))
    ]
    lines = [names, ["---:" if numbers else "---" for numbers in right], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_code(str(each)) for each in value)
    if isinstance(value, bool) or not isinstance(value, int):
        return str(value)
    return f"{value:,}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _share(part: int, whole: int) -> str:
    return f"{part / max(whole, 1):.2%}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[:characters].rstrip() + " …"


def _code(text: str) -> str:
    """Inline code that no backtick in it can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if longest else ""
    return f"{fence}{blank}{' '.join(text.split())}{blank}{fence}"


def _fenced(text: str) -> str:
    """A block that nothing in the text can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
