"""Runs of words that valid and test share with train."""

import random
from pathlib import Path

import numpy as np
import pytest
from clean_settings import clean_params, cleaned

from reprise import overlap
from reprise.overlap import OUT, SharedRuns, find_shared_runs
from reprise.splits import TEST, TRAIN, VALID

PARAMS = clean_params(rules=[], near_duplicates="off")


def shared(
    folder: Path, shards: list[list[str]], splits: list[int], size: int, workers: int = 1
) -> SharedRuns:
    with cleaned(folder, shards, PARAMS) as scratch:
        return find_shared_runs(scratch, np.array(splits, np.uint8), size, workers)


def test_runs_are_counted_by_document_with_a_witness_from_train(tmp_path: Path) -> None:
    shards = [
        ["a b c d e f", "x a b c y", "c d e f"],
        ["e f g h", "q r s t", "b c", "a b c a b c"],
    ]
    splits = [TRAIN, VALID, TEST, TRAIN, OUT, TEST, VALID]
    found = shared(tmp_path, shards, splits, 3)
    # by hand: abc, bcd, cde, def, efg, fgh are in train
    assert found.documents.tolist() == [1, 2, 6]  # "b c" has no run of 3
    assert found.runs.tolist() == [3, 2, 4]
    assert found.shared.tolist() == [1, 2, 2]
    assert found.witnesses.tolist() == [0, 0, 0]


def test_a_document_that_was_dropped_is_in_no_split(tmp_path: Path) -> None:
    found = shared(tmp_path, [["a b c", "a b c", "a b c"]], [OUT, TEST, OUT], 3)
    assert (found.runs.tolist(), found.shared.tolist()) == ([1], [0])
    assert found.witnesses.tolist() == [-1]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_the_counts_are_those_of_a_plain_set(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "RUNS_A_TASK", 500)
    if workers == 1:
        monkeypatch.setattr(overlap, "TABLE_BITS", 8)  # nearly every run of train hits a mark
    dice = random.Random(4)
    texts = [" ".join(dice.choices("abcdefgh", k=dice.randrange(1, 60))) for _ in range(200)]
    splits = [dice.choice([TRAIN, VALID, TEST, OUT]) for _ in texts]
    found = shared(tmp_path, [texts[:90], texts[90:150], texts[150:]], splits, 5, workers)

    def runs(text: str) -> list[tuple[str, ...]]:
        words = text.split()
        return [tuple(words[i : i + 5]) for i in range(len(words) - 4)]

    train = {
        run
        for text, split in zip(texts, splits, strict=True)
        if split == TRAIN
        for run in runs(text)
    }
    expected = [
        (i, len(runs(text)), sum(run in train for run in runs(text)))
        for i, (text, split) in enumerate(zip(texts, splits, strict=True))
        if split in (VALID, TEST) and runs(text)
    ]
    assert (
        list(zip(found.documents.tolist(), found.runs.tolist(), found.shared.tolist(), strict=True))
        == expected
    )
    for document, witness, count in zip(
        found.documents, found.witnesses, found.shared, strict=True
    ):
        if count:
            assert splits[witness] == TRAIN
            assert set(runs(texts[witness])) & set(runs(texts[document]))
