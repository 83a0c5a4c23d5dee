"""The page about the data, and its pictures."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from project import Project
from ruamel.yaml import YAML

from reprise.data_card import _code, _fenced, _table
from reprise.data_facts import drawn_documents, piece_uses
from reprise.data_plots import draw_frequencies, draw_lengths, draw_waterfall, zipf_exponent

STAGES = ("download", "clean", "tokenize", "encode", "data_card")
CLEAN = {
    "documents": {"in": 100, "kept": 70},
    "dropped": {"too_few_characters": 20, "other_language": 0, "near_duplicate": 10},
}


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
    head = YAML(typ="safe").load(card(project).split("---\n")[1])
    assert head["pretty_name"] == "corpus"
    assert head["license"] == "not stated"
    assert head["size_categories"] == ["n<1K"]
    assert head["task_categories"] == ["text-generation"]


@pytest.mark.slow
def test_the_page_has_the_counts_and_examples_of_train_alone(project: Project) -> None:
    import pyarrow.parquet as pq

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


def test_two_processes_draw_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", DRAW, str(tmp_path / name)], check=True)
    for picture in ("a.svg", "b.svg"):
        assert (tmp_path / "one" / picture).read_bytes() == (
            tmp_path / "two" / picture
        ).read_bytes()


def test_the_waterfall_names_what_dropped_documents_and_no_other_reason(tmp_path: Path) -> None:
    draw_waterfall(CLEAN, tmp_path / "a.svg")
    words = "".join(ElementTree.parse(tmp_path / "a.svg").getroot().itertext())
    assert "too few characters" in words
    assert "other language" not in words


def test_empty_splits_and_unused_vocabularies_are_drawn(tmp_path: Path) -> None:
    nothing = np.zeros(0, np.int64)
    draw_lengths(dict.fromkeys(("train", "valid", "test"), nothing), tmp_path / "a.svg")
    draw_frequencies(np.zeros(5, np.int64), tmp_path / "b.svg")


def test_the_exponent_is_found_again() -> None:
    ranks = np.arange(1, 2001)
    for exponent in (0.8, 1.2):
        uses = np.round(1e12 * ranks**-exponent).astype(np.int64)
        assert abs(zipf_exponent(np.random.default_rng(1).permutation(uses)) - exponent) < 0.01
    assert zipf_exponent(np.array([5])) == 0


def test_uses_are_counted_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprise.data_facts.IDS_AT_ONCE", 3)
    np.save(tmp_path / "ids.npy", np.array([0, 2, 2, 1, 2, 0, 2], np.uint16))
    assert piece_uses(tmp_path / "ids.npy", 4).tolist() == [2, 1, 4, 0]


def test_drawn_documents_are_different_ones_in_order(tmp_path: Path) -> None:
    import pyarrow as pa

    from reprise import corpus

    names = [f"n{i:02}" for i in range(40)]
    writer = corpus.DocumentWriter(tmp_path / "a.parquet")
    writer.write(pa.record_batch([names, names], schema=corpus.SCHEMA))
    writer.close()
    drawn = [document.name for document in drawn_documents(tmp_path / "a.parquet", 5)]
    assert len(set(drawn)) == 5
    assert drawn == sorted(drawn)
    assert drawn == [document.name for document in drawn_documents(tmp_path / "a.parquet", 5)]


@pytest.mark.parametrize(
    ("text", "fenced"), [("a", "```text\na\n```"), ("a ``` b", "````text\na ``` b\n````")]
)
def test_no_text_ends_its_block(text: str, fenced: str) -> None:
    assert _fenced(text) == fenced


def test_no_name_ends_its_code_nor_its_cell() -> None:
    assert _code("a`b") == "`` a`b ``"
    assert _table(("name", "n"), [("a|b\nc", "1,000")]) == (
        "| name | n |\n| --- | ---: |\n| a\\|b c | 1,000 |"
    )
