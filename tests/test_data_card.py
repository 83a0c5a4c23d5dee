"""The page about the data, and its pictures."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from project import ROOT, Project
from ruamel.yaml import YAML

from reprise import corpus
from reprise.data_card import data_card
from reprise.data_facts import DataFacts, Document, Dropped, drawn_documents, piece_uses
from reprise.data_plots import (
    draw_frequencies,
    draw_lengths,
    draw_waterfall,
    percent,
    zipf_fit,
)
from reprise.files import write_json, write_text
from reprise.markdown import code, fenced, plain, table
from stages.data_card import main

STAGES = ("download", "clean", "tokenize", "encode", "data_card")
CLEAN = {
    "documents": {"in": 1000, "kept": 700},
    "bytes": {"in": 9000, "kept": 8000},
    "dropped": {"too_few_characters": 200, "other_language": 0, "near_duplicate": 100},
    "changed": {"line_ends": 1234, "masked_mails": 0},
    "near_duplicate_clusters": 1,
    "overlap": {
        "test": {
            "documents": 50,
            "exact_duplicates": 0,
            "near_duplicates": 0,
            "documents_with_shared_ngrams": 0,
            "ngrams": 0,
            "shared_ngrams": 0,
            "overlapping_documents": 0,
            "overlap": 0.0,
        },
        "valid": {
            "documents": 50,
            "exact_duplicates": 1,
            "near_duplicates": 2,
            "documents_with_shared_ngrams": 7,
            "ngrams": 400,
            "shared_ngrams": 100,
            "overlapping_documents": 3,
            "overlap": 0.06,
        },
    },
}
FILE = {"path": "files/a.txt", "bytes": 1500, "sha256": "ab" * 32, "format": "text", "split": None}


def facts_of(**changes: Any) -> DataFacts:
    split = {"documents": 10, "bytes": 2_000_000, "words": 300_000, "tokens": 500_000}
    made: dict[str, Any] = {
        "manifest": {"corpus": "texts", "licence": "not stated", "sources": [], "files": [FILE]},
        "clean": CLEAN,
        "tokenize": {"pieces": 3, "unknown_share_on_valid": 0.0125, "longest": ["\n", "a`b", " "]},
        "encode": dict.fromkeys(("train", "valid", "test"), split),
        "lengths": {"train": np.array([1, 2, 3, 4]), "valid": np.array([7]), "test": np.array([])},
        "uses": np.array([10, 0, 30]),
        "pieces": ["<unk>", "b", "c"],
        "examples": [Document("a:1", "one")],
        "dropped": [],
    }
    return DataFacts(**made | changes)


def head_of(page: str) -> Any:
    return YAML(typ="safe").load(page.split("---\n")[1])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("card"), documents=80)
    made.add_document("short", "abc")
    made.add_document("fence", "A text with a fence:\n```\n# no title\n```\n| and | bars |")
    for stage in STAGES:
        made.stage(stage)
    return made


def card(project: Project) -> str:
    return (project.folder / "metrics/data_card.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_head_is_that_of_a_dataset_card(project: Project) -> None:
    head = head_of(card(project))
    assert head["pretty_name"] == "corpus"
    assert head["license"] == "unknown"
    assert head["size_categories"] == ["n<1K"]
    assert head["task_categories"] == ["text-generation"]


@pytest.mark.slow
def test_the_page_has_the_counts_and_examples_of_train_alone(project: Project) -> None:
    page = card(project)
    texts = {
        split: pq.read_table(project.folder / f"data/clean/{split}.parquet")["text"].to_pylist()
        for split in ("train", "valid", "test")
    }
    assert f"| train | {len(texts['train']):,} |" in page
    assert "| too few characters | -1 |" in page
    shown = re.findall(r"^`{3,}text\n(.*?)\n`{3,}$", page, re.MULTILINE | re.DOTALL)
    assert "abc" in shown
    starts = [text[:100] for text in shown if text != "abc"]
    assert len(starts) == 5
    assert all(any(text.startswith(start) for text in texts["train"]) for start in starts)
    assert not any(text[:100] in page for text in texts["valid"] + texts["test"])
    for name in ("lengths", "dropped", "pieces"):
        assert f"(data_card/{name}.svg)" in page
        ElementTree.parse(project.folder / f"metrics/data_card/{name}.svg")


@pytest.mark.slow
def test_another_folder_gives_the_same_bytes(project: Project, tmp_path: Path) -> None:
    copy = project.copied_to(tmp_path / "elsewhere")
    before = {path: path.read_bytes() for path in (copy.folder / "metrics").rglob("*.*")}
    for path in (copy.folder / "metrics").rglob("data_card*.*"):
        path.unlink()
    copy.stage("data_card")
    assert {path: path.read_bytes() for path in before} == before
    assert str(tmp_path) not in card(copy)


DRAW = """
import sys
from pathlib import Path
import numpy as np
from reprise.data_plots import draw_frequencies, draw_lengths, draw_waterfall
folder = Path(sys.argv[1])
lengths = {"train": np.array([3, 50, 700]), "valid": np.array([9]), "test": np.array([], int)}
draw_lengths(lengths, folder / "a.svg")
draw_frequencies(10_000 // np.arange(1, 500), folder / "b.svg")
"""
OTHER_TASTE = "font.size: 30\nsvg.fonttype: none\naxes.facecolor: red\n"


def test_two_processes_draw_the_same_bytes_whatever_their_settings(tmp_path: Path) -> None:
    for name, taste in (("one", ""), ("two", OTHER_TASTE)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "matplotlibrc").write_text(taste)
        surroundings = os.environ | {"MATPLOTLIBRC": str(folder)}
        subprocess.run([sys.executable, "-c", DRAW, str(folder)], check=True, env=surroundings)
    for name in ("a.svg", "b.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_waterfall_names_what_dropped_documents_and_no_other_reason(tmp_path: Path) -> None:
    draw_waterfall(CLEAN, tmp_path / "a.svg")
    words = words_in(tmp_path / "a.svg")
    assert "too few characters" in words
    assert "\N{MINUS SIGN}200 (20.00%)" in words
    assert "other language" not in words


def words_in(picture: Path) -> list[str]:
    """Letters are shapes; what they say stands beside them as a comment."""
    return re.findall("<!-- (.*?) -->", picture.read_text(encoding="utf-8"))


def test_the_rarest_of_many_reasons_share_a_bar(tmp_path: Path) -> None:
    dropped = {f"reason_{count:02}": count for count in range(1, 13)}
    draw_waterfall({"documents": {"in": 100, "kept": 22}, "dropped": dropped}, tmp_path / "a.svg")
    words = words_in(tmp_path / "a.svg")
    names = [word for word in words if word.startswith(("reason", "6 rarer"))]
    assert names == [*(f"reason {count:02}" for count in range(7, 13)), "6 rarer reasons"]
    assert "\N{MINUS SIGN}21 (21.00%)" in words  # 1 + 2 + 3 + 4 + 5 + 6


def test_a_picture_of_the_largest_kind_is_small(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    sizes = {f"too_many_duplicate_{i:02}_grams": 10**6 + i for i in range(30)}
    waterfall = {"documents": {"in": 10**8, "kept": 7 * 10**7}, "dropped": sizes}
    draw_waterfall(waterfall, tmp_path / "a.svg")
    lengths = random.lognormal(6, 3, 10_000).astype(int) + 1
    draw_lengths(dict.fromkeys(("train", "valid", "test"), lengths), tmp_path / "b.svg")
    draw_frequencies(random.zipf(1.5, 100_000), tmp_path / "c.svg")
    assert all(path.stat().st_size < 60_000 for path in tmp_path.iterdir())


def test_empty_splits_and_unused_vocabularies_are_drawn(tmp_path: Path) -> None:
    nothing = np.zeros(0, np.int64)
    draw_lengths(dict.fromkeys(("train", "valid", "test"), nothing), tmp_path / "a.svg")
    draw_frequencies(np.zeros(5, np.int64), tmp_path / "b.svg")
    for name in ("a", "b"):
        assert "</svg>" in (tmp_path / f"{name}.svg").read_text(encoding="utf-8")


def test_the_exponent_is_found_again() -> None:
    ranks = np.arange(1, 2001)
    for exponent in (0.8, 1.2):
        uses = np.round(1e12 * ranks**-exponent).astype(np.int64)
        fit = zipf_fit(np.random.default_rng(1).permutation(uses))
        assert fit is not None
        assert fit.exponent == pytest.approx(exponent, abs=0.001)
        assert fit.scale == pytest.approx(1e12, rel=0.001)
    assert zipf_fit(np.array([5, 3])) is None


def test_uses_are_counted_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprise.data_facts.IDS_AT_ONCE", 3)
    np.save(tmp_path / "ids.npy", np.array([0, 2, 2, 1, 2, 0, 2], np.uint16))
    assert piece_uses(tmp_path / "ids.npy", 4).tolist() == [2, 1, 4, 0]


def test_drawn_documents_are_different_ones_in_order(tmp_path: Path) -> None:
    names = [f"n{i:02}" for i in range(40)]
    writer = corpus.DocumentWriter(tmp_path / "a.parquet")
    writer.write(pa.record_batch([names, names], schema=corpus.SCHEMA))
    writer.close()
    drawn = [document.name for document in drawn_documents(tmp_path / "a.parquet", 5)]
    assert len(set(drawn)) == 5
    assert drawn == sorted(drawn)
    assert drawn == [document.name for document in drawn_documents(tmp_path / "a.parquet", 5)]


@pytest.mark.parametrize(
    ("text", "block"), [("a", "```text\na\n```"), ("a ``` b", "````text\na ``` b\n````")]
)
def test_no_text_ends_its_block(text: str, block: str) -> None:
    assert fenced(text) == block


def test_no_name_ends_its_code_nor_its_cell() -> None:
    assert code("a`b") == "`` a`b ``"
    assert code("\n") == "`\\n`"
    assert table(("name", "n"), [("a|b\nc", "1,000")]) == (
        "| name | n |\n| --- | ---: |\n| a\\|b c | 1,000 |"
    )


def test_a_title_is_no_markup() -> None:
    assert plain("a <unk> *b* [c](d)\n# e") == "a &lt;unk&gt; \\*b\\* \\[c\\](d) \\# e"


def test_characters_that_are_not_seen_are_told_by_their_numbers() -> None:
    assert fenced("a\x00\r\u202eb\tc") == "```text\na\\u0000\\u000d\\u202eb\tc\n```"


@pytest.mark.parametrize(
    ("part", "whole", "share"),
    [(1, 3, "33.33%"), (0, 5, "0.00%"), (1, 10**6, "< 0.01%"), (0, 0, "0.00%")],
)
def test_what_is_there_is_never_a_share_of_nothing(part: int, whole: int, share: str) -> None:
    assert percent(part, whole) == share


@pytest.mark.parametrize(
    ("stated", "head"),
    [
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("CC-BY-SA-3.0 and GFDL", {"license": ["cc-by-sa-3.0", "gfdl"]}),
        ("public domain", {"license": "other", "license_name": "public domain"}),
        ("not stated", {"license": "unknown"}),
    ],
)
def test_licences_have_the_names_of_the_hub(stated: str, head: dict[str, Any]) -> None:
    manifest = facts_of().manifest | {"licence": stated}
    found = head_of(data_card(facts_of(manifest=manifest), "plots"))
    assert {name: found[name] for name in found if name.startswith("license")} == head


@pytest.mark.parametrize(
    ("kept", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**9, "1B<n<10B"), (10**13, "n>1T")]
)
def test_sizes_have_the_names_of_the_hub(kept: int, size: str) -> None:
    clean = CLEAN | {"documents": {"in": kept, "kept": kept}}
    assert head_of(data_card(facts_of(clean=clean), "plots"))["size_categories"] == [size]


def test_each_language_is_named() -> None:
    manifest = facts_of().manifest | {"language": "en, zh", "title": "Two: <unk>"}
    page = data_card(facts_of(manifest=manifest), "plots")
    assert head_of(page)["language"] == ["en", "zh"]
    assert head_of(page)["pretty_name"] == "Two: <unk>"
    assert "\n# Two: &lt;unk&gt;\n" in page


def test_the_summary_says_what_decides() -> None:
    page = data_card(facts_of(), "plots")
    assert "**6.0 MB of text in 700 documents**: 900,000 words, 1,500,000 tokens" in page
    assert "4.00 bytes a token" in page
    assert "300 (30.00%) were dropped, most often for the reason too few characters (200)" in page
    assert "Found in train too: 3 documents of valid (6.00%); see Copies." in page
    assert "| valid | 50 | 1 | 2 | 7 | 25.00% | 3 (6.00%) |\n| test | 50 |" in page
    assert "| line ends | 1,234 |" in page
    assert "masked mails" not in page


def test_nothing_dropped_and_nothing_changed_are_said() -> None:
    clean = CLEAN | {"documents": {"in": 7, "kept": 7}, "dropped": {}, "changed": {}, "overlap": {}}
    page = data_card(facts_of(clean=clean), "plots")
    assert "Nothing was dropped. No document of valid or test was found in train." in page
    assert "## What was changed\n\nNothing.\n" in page


def test_figures_of_the_vocabulary_are_shown_whatever_they_are() -> None:
    tokenize = facts_of().tokenize | {
        "bytes_per_token_on_valid": 2.25,
        "sample": {"documents": 1200, "lines_cut": 0},
        "scripts_on_valid": {"han": {"share": 0.75, "spelt_out": 0.5}, "latin": {"share": 0.25}},
        "rare": [["x|y", 1200]],
    }
    page = data_card(facts_of(tokenize=tokenize), "plots")
    assert "| bytes per token on valid | 2.25 |" in page
    assert "| sample: documents | 1,200 |" in page
    assert (
        "| scripts on valid | share | spelt out |\n| --- | ---: | ---: |\n"
        "| han | 75.00% | 50.00% |\n| latin | 25.00% |  |\n"
    ) in page
    assert "| pieces | 3 |" in page
    assert "| unknown share on valid | 1.25% |" in page
    assert "| longest | `\\n`, `` a`b ``, `   ` |" in page
    assert "| rare | `x\\|y` 1,200 |" in page
    assert "| pieces never used in train | 1 |" in page
    bytes_apart = facts_of(pieces=["<0x0A>", "<0x0B>", "c"], tokenize={})
    assert "| pieces never used in train | 0 |" in data_card(bytes_apart, "plots")
    assert "Most used in train: `c` 75.00%, `<unk>` 25.00%." in page


def test_only_the_first_of_many_files_and_sources_are_listed() -> None:
    files = [FILE | {"path": f"files/{number}.txt"} for number in range(23)]
    sources = [{"package": f"p{number}", "empty": 0} for number in range(21)]
    manifest = facts_of().manifest | {"files": files, "sources": sources}
    page = data_card(facts_of(manifest=manifest), "plots")
    assert "23 files, 34,500 bytes:" in page
    assert "`files/19.txt`" in page
    assert "`files/20.txt`" not in page
    assert "And 3 more: see `data/download/manifest.json`." in page
    assert "- from: package p19\n\nAnd 1 more sources." in page


def test_sources_are_links() -> None:
    sources = [{"addresses": ["https://example.org/a", "s3://b/c"], "ignored": 2}]
    manifest = facts_of().manifest | {"sources": sources, "homepage": "https://example.org"}
    page = data_card(facts_of(manifest=manifest), "plots")
    assert "- from: <https://example.org/a>, s3://b/c; ignored 2" in page
    assert "- homepage: <https://example.org>" in page


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        ((None, None), "No splits were published"),
        (("train", "test"), "As they were published."),
        (("test", None), "Published, and kept so: test."),
    ],
)
def test_it_is_told_where_splits_come_from(splits: tuple[str | None, ...], told: str) -> None:
    manifest = facts_of().manifest | {"files": [FILE | {"split": split} for split in splits]}
    assert told in data_card(facts_of(manifest=manifest), "plots")


def test_no_copy_and_no_line_of_a_published_test_is_shown() -> None:
    files = [FILE | {"path": f"files/{split}.txt", "split": split} for split in ("train", "test")]
    dropped = [
        Dropped("files/train.txt:5", "too_few_characters", "of train"),
        Dropped("files/test.txt:5", "too_few_words", "of test"),
        Dropped("named by its record", "other_language", "of either"),
        Dropped("files/train.txt:7", "near_duplicate", "of a copy"),
    ]
    manifest = facts_of().manifest | {"files": files}
    page = data_card(facts_of(manifest=manifest, dropped=dropped), "plots")
    assert "**too few characters**: `files/train.txt:5`\n\n```text\nof train\n```" in page
    for hidden in dropped[1:]:
        assert f"`{hidden.name}` (not shown" in page
        assert hidden.text not in page


def test_long_texts_are_cut() -> None:
    examples = [Document("long", "x" * 601), Document("short", "y" * 600)]
    dropped = [Dropped("d", "too_few_words", "z" * 201)]
    page = data_card(facts_of(examples=examples, dropped=dropped), "plots")
    assert f"`long` (601 characters, the first 600)\n\n```text\n{'x' * 600} …\n```" in page
    assert f"`short` (600 characters)\n\n```text\n{'y' * 600}\n```" in page
    assert f"{'z' * 200} …\n" in page


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the least that the stage reads, at the usual places."""
    facts = facts_of()
    reasons = ["too_few_words", "other_language", "other_language", "near_duplicate"]
    dropped = {"near_duplicate": 1, "other_language": 2, "outside_fraction": 0, "too_few_words": 1}
    clean = CLEAN | {"documents": {"in": 8, "kept": 4}, "dropped": dropped}
    write_json(tmp_path / "data/download/manifest.json", facts.manifest)
    write_json(tmp_path / "metrics/clean.json", clean)
    write_json(tmp_path / "metrics/tokenize.json", facts.tokenize)
    write_json(tmp_path / "metrics/encode.json", facts.encode)
    write_json(tmp_path / "data/encode/vocabulary.json", {"vocabulary_size": 3, "boundary": 1})
    write_text(tmp_path / "data/tokenize/tokenizer.vocab", "<unk>\t0\nb\t-1\nc\t-2\n")
    np.save(tmp_path / "data/encode/train.npy", np.array([0, 2, 2, 2], np.uint16))
    for split in ("train", "valid", "test"):
        pq.write_table(pa.table({"tokens": [3, 1]}), tmp_path / f"data/encode/{split}.parquet")
    (tmp_path / "data/clean").mkdir()
    texts = pa.table({"name": ["n"], "text": ["of train"]}, schema=corpus.SCHEMA)
    pq.write_table(texts, tmp_path / "data/clean/train.parquet")
    names = [f"d{number}" for number in range(len(reasons))]
    rows = pa.table({"name": names, "reason": reasons, "text": names})
    pq.write_table(rows, tmp_path / "data/clean/dropped.parquet")
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_reasons_stand_in_the_order_of_the_examples_with_one_of_each(place: Path) -> None:
    assert run("--plots", "pictures").exit_code == 0
    page = (place / "metrics/data_card.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \| -\d", page, re.MULTILINE)
    assert rows == ["too few words", "other language", "near duplicate"]
    assert re.findall("`(d\\d)`", page) == ["d0", "d1", "d3"]
    assert "](../pictures/lengths.svg)" in page
    assert {path.name for path in (place / "pictures").iterdir()} == {
        "lengths.svg",
        "dropped.svg",
        "pieces.svg",
    }


@pytest.mark.parametrize(
    ("path", "content", "line"),
    [
        ("metrics/clean.json", "{}", "no 'documents' in it; run `dvc repro -f clean`"),
        ("metrics/encode.json", "[]", "no figures by name; run `dvc repro -f encode`"),
        ("metrics/tokenize.json", None, "no such file; run `dvc repro`"),
        ("data/download/manifest.json", '{"corpus": "a"}', "no 'files' in it; run"),
        ("data/encode/valid.parquet", None, "cannot be read: "),
        ("data/encode/valid.parquet", "PAR1", "cannot be read: "),
        ("data/encode/train.npy", None, "cannot be read: "),
        ("data/encode/train.npy", "abc", "cannot be read: "),
        ("data/clean/train.parquet", None, "no such file; run `dvc repro clean`"),
        ("data/clean/dropped.parquet", "abc", "cannot be read: "),
        ("data/tokenize/tokenizer.vocab", None, "cannot be read: "),
        ("params.yaml", "{}", "download: this section is missing"),
    ],
)
def test_what_is_missing_or_broken_is_told_in_one_line(
    place: Path, path: str, content: str | None, line: str
) -> None:
    (place / path).unlink()
    if content is not None:
        (place / path).write_text(content)
    result = run()
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {path}: {line}")
    assert not (place / "metrics/data_card.md").exists()


def test_files_of_different_vocabularies_are_told(place: Path) -> None:
    ids = place / "data/encode/train.npy"
    np.save(ids, np.array([0, 3], np.uint16))
    assert "train.npy: id 3 in a vocabulary of 3; run `dvc repro -f encode`" in run().stderr
    write_text(place / "data/tokenize/tokenizer.vocab", "<unk>\t0\n")
    assert "encode: for 3 pieces, data/tokenize/tokenizer.vocab has 1; run" in run().stderr
