"""From raw files to clean splits."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clean_settings import clean_params

from reprise.corpus import SPLITS
from reprise.errors import PipelineError
from reprise.params.clean import CleanParams
from reprise.raw import Source
from reprise.raw import shards as raw_shards
from reprise.sifting import sift

WORDS = [f"document number {i} says something" for i in range(60)]


MENDING = ["encoding", "unicode", "control_characters", "space_marks", "trailing_blanks"]


def params(**changed: object) -> CleanParams:
    settings: dict[str, object] = {
        "rules": [*MENDING, "outer_lines", "length"],
        "max_invalid_bytes_fraction": 0.01,
        "unicode_form": "NFC",
        "min_characters": 5,
        "max_characters": 1000,
        "drop_exact_duplicates": True,
        "near_duplicates": "off",
        "max_dropped_fraction": 0.9,
        "valid_fraction": 0.2,
        "test_fraction": 0.2,
        "split_seed": 1,
        "fraction": 1.0,
        "max_overlap": 1.0,
        "samples_per_reason": 2,
    }
    return clean_params(**(settings | changed))


def lines(path: Path, texts: list[str] | bytes, split: str | None = None) -> Source:
    path.write_bytes(texts if isinstance(texts, bytes) else "\n".join(texts).encode())
    return Source(path.name, path, "text", "line", "text", split)


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def placed(folder: Path) -> dict[str, str]:
    return {row["text"]: split for split in SPLITS for row in table(folder, split)}


def test_every_document_is_in_one_split_or_counted_as_dropped(tmp_path: Path) -> None:
    texts = [*WORDS, "abc", WORDS[3], "x" * 1001, "ab", "a", WORDS[3] + " \t"]
    summary = sift([lines(tmp_path / "a.txt", texts)], params(), tmp_path, 1).summary()
    assert summary["documents"]["in"] == 66
    assert summary["documents"]["kept"] == 60
    assert summary["dropped"] == {
        "too_many_characters": 1,
        "too_few_characters": 3,
        "exact_duplicate": 2,
        "near_duplicate": 0,
        "outside_fraction": 0,
    }
    assert summary["bytes"]["kept"] == sum(map(len, WORDS))
    assert summary["bytes"]["in"] == (tmp_path / "a.txt").stat().st_size
    assert sorted(placed(tmp_path)) == sorted(WORDS)
    counts = {split: len(table(tmp_path, split)) for split in SPLITS}
    assert counts == {split: summary["documents"][split] for split in SPLITS}
    assert table(tmp_path, "dropped") == [
        {"name": "a.txt:63", "reason": "too_many_characters", "text": "x" * 1001},
        {"name": "a.txt:61", "reason": "too_few_characters", "text": "abc"},
        {"name": "a.txt:64", "reason": "too_few_characters", "text": "ab"},
        {"name": "a.txt:62", "reason": "exact_duplicate", "text": WORDS[3]},
        {"name": "a.txt:66", "reason": "exact_duplicate", "text": WORDS[3]},
    ]


def test_splits_keep_the_corpus_order(tmp_path: Path) -> None:
    sift([lines(tmp_path / "a.txt", WORDS)], params(), tmp_path, 1)
    for split in SPLITS:
        texts = [row["text"] for row in table(tmp_path, split)]
        assert texts == sorted(texts, key=WORDS.index)


def test_workers_and_shards_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_shards, "SHARD_BYTES", 100)
    source = lines(tmp_path / "a.txt", [*WORDS, *WORDS[:20], "天" * 9, "ab"])
    names = [f"{name}.parquet" for name in (*SPLITS, "dropped")]
    for workers in (1, 3):
        sift([source], params(), tmp_path / str(workers), workers)
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_one_more_document_moves_no_other(tmp_path: Path) -> None:
    sift([lines(tmp_path / "a.txt", WORDS)], params(), tmp_path / "before", 1)
    sift([lines(tmp_path / "a.txt", ["a new first one", *WORDS])], params(), tmp_path / "after", 1)
    before, after = placed(tmp_path / "before"), placed(tmp_path / "after")
    assert after.pop("a new first one")
    assert before == after


def test_published_splits_are_kept_as_published(tmp_path: Path) -> None:
    sources = [
        lines(tmp_path / "train.txt", ["common", "train only", "train only", "more"], "train"),
        lines(tmp_path / "valid.txt", ["valid only", "valid only"], "valid"),
        lines(tmp_path / "test.txt", ["common", "test only"], "test"),
    ]
    summary = sift(sources, params(min_characters=1), tmp_path, 1).summary()
    texts = {split: [row["text"] for row in table(tmp_path, split)] for split in SPLITS}
    assert texts == {
        "train": ["common", "train only", "more"],
        "valid": ["valid only", "valid only"],
        "test": ["common", "test only"],
    }
    assert summary["overlap"]["test"]["exact_duplicates"] == 1
    assert summary["overlap"]["valid"]["overlapping_documents"] == 0
    assert summary["dropped"]["exact_duplicate"] == 1


def test_duplicates_can_stay_and_fall_to_one_split(tmp_path: Path) -> None:
    source = lines(tmp_path / "a.txt", WORDS * 2)
    summary = sift([source], params(drop_exact_duplicates=False), tmp_path, 1).summary()
    assert summary["documents"]["kept"] == 120
    assert all(split["exact_duplicates"] == 0 for split in summary["overlap"].values())


def test_repairs_are_counted(tmp_path: Path) -> None:
    text = "\ufeff" + "\r\n".join([*WORDS, "nul \x00 here", "mark \u2581 here", "a cafe\u0301 "])
    source = lines(tmp_path / "a.txt", text.encode() + b"\nbroken \xff byte")
    assert sift([source], params(), tmp_path, 1).summary()["changed"] == {
        "invalid_bytes": 1,
        "byte_order_marks": 1,
        "line_ends": 62,
        "lone_surrogates": 0,
        "lines_in_wrong_encoding": 0,
        "documents_in_other_unicode_form": 1,
        "control_characters": 1,
        "u2581_to_underscore": 1,
        "documents_with_trailing_blanks": 1,
        "documents_with_blank_outer_lines": 0,
    }
    assert {"nul  here", "mark _ here", "a caf\u00e9", "broken \ufffd byte"} <= set(
        placed(tmp_path)
    )


SENTENCES = [f"The {i} birds of the {i * 7 % 61} trees sing {i * i} songs" for i in range(300)]
LONG = ["; ".join(SENTENCES[i : i + 12]) for i in range(0, 300, 12)]


def with_one_word_changed(text: str) -> str:
    return text.replace("songs", "hymns", 1)


def test_near_duplicates_are_dropped_and_counted_and_never_straddle(tmp_path: Path) -> None:
    texts = [*LONG, *map(with_one_word_changed, LONG)]
    source = lines(tmp_path / "a.txt", texts)
    summary = sift([source], params(near_duplicates="drop"), tmp_path, 1).summary()
    assert summary["dropped"]["near_duplicate"] == summary["near_duplicate_clusters"] == len(LONG)
    assert sorted(placed(tmp_path)) == sorted(LONG)
    kept = sift([source], params(near_duplicates="keep"), tmp_path, 1).summary()
    assert kept["documents"]["kept"] == len(texts)
    splits = placed(tmp_path)
    assert all(splits[text] == splits[with_one_word_changed(text)] for text in LONG)
    assert len(set(splits.values())) == 3


def test_too_much_overlap_of_published_splits_is_told_with_the_pairs(tmp_path: Path) -> None:
    sources = [
        lines(
            tmp_path / "train.txt",
            [*LONG, "a passage before " + LONG[3] + " and after it " * 9],
            "train",
        ),
        lines(tmp_path / "valid.txt", WORDS, "valid"),
        lines(tmp_path / "test.txt", [*WORDS[:7], LONG[0], with_one_word_changed(LONG[1])], "test"),
    ]
    with pytest.raises(PipelineError) as caught:
        sift(
            sources,
            params(near_duplicates="keep", max_overlap=0.2, min_characters=1),
            tmp_path / "out",
            1,
        )
    assert caught.value.lines == (
        "clean: 2 of 9 documents of test (22.22%) are in train too (1 exact duplicates, 1 near "
        "duplicates, 0 by their words); allowed: clean.max_overlap 0.2; take them out of one of "
        "the two, or raise that setting",
        "test: test.txt:8 is in train as train.txt:1 (exact duplicate)",
        "test: test.txt:9 is in train as train.txt:2 (near duplicate)",
    )
    assert not list((tmp_path / "out").iterdir())
    summary = sift(sources, params(near_duplicates="keep", max_overlap=0.3), tmp_path, 1).summary()
    assert summary["overlap"]["test"]["overlap"] == round(2 / 9, 6)
    assert summary["overlap"]["test"]["documents_with_shared_ngrams"] == 2


def test_a_passage_of_train_in_test_is_found_by_its_words(tmp_path: Path) -> None:
    sources = [
        lines(tmp_path / "train.txt", [LONG[0] + "; " + LONG[1] + "; " + LONG[2], *WORDS], "train"),
        lines(tmp_path / "valid.txt", WORDS, "valid"),
        lines(tmp_path / "test.txt", [LONG[1]], "test"),
    ]
    settings = params(near_duplicates="keep", max_characters=10_000)
    overlap = sift(sources, settings, tmp_path, 1).overlaps["test"]
    assert (overlap.exact, overlap.near, list(overlap.copied.values())) == ({}, {}, [0])


def test_smaller_fractions_of_train_lie_in_larger_ones_and_valid_and_test_stay(
    tmp_path: Path,
) -> None:
    source = lines(tmp_path / "a.txt", WORDS)
    found = []
    for fraction in (0.2, 0.5, 1.0):
        summary = sift([source], params(fraction=fraction), tmp_path, 1).summary()
        assert summary["dropped"]["outside_fraction"] == 60 - summary["documents"]["kept"]
        found.append({split: [row["text"] for row in table(tmp_path, split)] for split in SPLITS})
    assert found[0]["test"] == found[1]["test"] == found[2]["test"]
    assert found[0]["valid"] == found[1]["valid"] == found[2]["valid"]
    small, middle, all_of_train = (set(splits["train"]) for splits in found)
    assert small < middle < all_of_train


def test_samples_of_what_was_dropped_hold_nothing_personal(tmp_path: Path) -> None:
    source = lines(tmp_path / "a.txt", [*WORDS, "write to jo@example.org", "jo@example.org"])
    rules = [*MENDING, "length", "personal_data"]
    sift([source], params(rules=rules, min_characters=24), tmp_path, 1)
    assert [row["text"] for row in table(tmp_path, "dropped")] == ["write to <mail>", "<mail>"]
    sift([source], params(rules=rules[:-1], min_characters=24), tmp_path, 1)
    assert table(tmp_path, "dropped")[1]["text"] == "jo@example.org"


def error_of(tmp_path: Path, sources: list[Source], **changed: object) -> str:
    with pytest.raises(PipelineError) as caught:
        sift(sources, params(**changed), tmp_path / "out", 1)
    assert not list((tmp_path / "out").iterdir())
    (line,) = caught.value.lines
    return line


def test_too_many_invalid_bytes_are_told_by_file_and_byte(tmp_path: Path) -> None:
    good = lines(tmp_path / "a.txt", WORDS)
    bad = lines(tmp_path / "b.txt", b"0123456789\n" * 9 + b"\xe9\xe9\n")
    assert error_of(tmp_path, [good, bad]) == (
        f"{tmp_path}/b.txt: 2 bytes are not UTF-8 (1.961% of the text), the first at byte 99; "
        "allowed: clean.max_invalid_bytes_fraction 0.01; set download.encoding, "
        "convert the file to UTF-8 or raise that setting"
    )


def test_the_limit_on_invalid_bytes_is_of_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_shards, "SHARD_BYTES", 10)
    good = lines(tmp_path / "a.txt", WORDS)
    bad = lines(tmp_path / "b.txt", b"\xe9\n" + b"0123456789\n" * 9)
    sifter = sift([good, bad], params(max_invalid_bytes_fraction=0.0100), tmp_path, 1)
    assert sifter.summary()["changed"]["invalid_bytes"] == 1


def test_a_long_line_in_a_valid_file_is_dropped_and_all_its_bytes_came_in(tmp_path: Path) -> None:
    source = lines(tmp_path / "a.txt", [*WORDS, "天" * 3_000_000, "the last"])
    settings = params(max_invalid_bytes_fraction=0)
    summary = sift([source], settings, tmp_path, 1).summary()
    assert summary["dropped"]["too_many_characters"] == 1
    assert summary["documents"]["kept"] == 61
    assert summary["changed"]["invalid_bytes"] == 0
    assert summary["bytes"]["in"] == (tmp_path / "a.txt").stat().st_size


def test_an_empty_corpus_is_told(tmp_path: Path) -> None:
    assert error_of(tmp_path, [lines(tmp_path / "a.txt", b"\n \n\n")]) == (
        "clean: the corpus holds no document; put text into the files that download.corpus names"
    )


def test_too_much_dropped_is_told_by_reason(tmp_path: Path) -> None:
    source = lines(tmp_path / "a.txt", ["ab", "cd", "some text", "some text"])
    assert error_of(tmp_path, [source], max_dropped_fraction=0.5) == (
        "clean: 3 of 4 documents were dropped (too_few_characters 2, exact_duplicate 1); allowed: "
        "clean.max_dropped_fraction 0.5; look at the corpus, at data/clean/dropped.parquet of an "
        "earlier run, at the limits in clean and at download.document"
    )


def test_a_corpus_of_nothing_but_copies_is_told(tmp_path: Path) -> None:
    source = lines(tmp_path / "a.txt", ["the same text again"] * 5000)
    assert error_of(tmp_path, [source], near_duplicates="drop").startswith(
        "clean: 4999 of 5000 documents were dropped (exact_duplicate 4999); allowed: "
    )


@pytest.mark.slow
def test_a_million_empty_documents_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = pa.array([*WORDS, *[""] * 1_000_000])
    pq.write_table(pa.table({"text": texts}), path)
    source = Source(path.name, path, "parquet", "line", "text", None)
    summary = sift([source], params(max_dropped_fraction=1.0), tmp_path, 2).summary()
    assert summary["dropped"]["too_few_characters"] == 1_000_000
    assert summary["documents"]["kept"] == 60


def test_fewer_documents_than_splits_are_told(tmp_path: Path) -> None:
    assert error_of(tmp_path, [lines(tmp_path / "a.txt", WORDS[:2])]) == (
        "clean: 2 documents are left, fewer than the 3 splits (train, valid, test); "
        "add text or cut it finer with download.document"
    )


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    source = lines(tmp_path / "a.txt", WORDS[:3])
    assert error_of(tmp_path, [source], valid_fraction=1e-9, test_fraction=1e-9) == (
        "clean: no document of 3 fell to valid and test; change clean.split_seed, raise the "
        "fraction, or cut finer with download.document"
    )


PEAK = """
import json, resource, sys
from pathlib import Path
from reprise.params.clean import CleanParams
from reprise.raw import Source
from reprise.sifting import sift
settings = CleanParams(**json.loads(sys.argv[2]))
folder = Path(sys.argv[1])
source = Source("a.txt", folder / "a.txt", "text", "line", "text", None)
summary = sift([source], settings, folder, 1).summary()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"peak": peak, **summary["dropped"], **summary["documents"]}))
"""


@pytest.mark.parametrize("allowed", [10_000_000, 200_000_000])
def test_a_line_of_100_mb_is_dropped_or_kept_within_the_memory(
    tmp_path: Path, allowed: int
) -> None:
    with (tmp_path / "a.txt").open("w") as file:
        file.write("\n".join(WORDS) + "\n")
        for _ in range(100):
            file.write("many words " * 91_000)
        file.write("\n" + "\n".join(word[::-1] for word in WORDS))
    settings = params(max_characters=allowed).model_dump_json()
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path), settings],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(run.stdout)
    kept = allowed > 100_000_000
    assert found["too_many_characters"] == (not kept)
    assert found["kept"] == 120 + kept
    assert found["peak"] < 1.5 * 2**20  # kB
