"""What becomes of documents once their groups are known."""

from pathlib import Path

import numpy as np
import pytest
from clean_settings import clean_params

from reprise.duplicates import Groups
from reprise.overlap import OUT, SharedRuns
from reprise.settlement import (
    EXACT_DUPLICATE,
    NEAR_DUPLICATE,
    OUTSIDE_FRACTION,
    STAYS,
    Candidates,
    Settlement,
    overlap_of,
    settle,
)
from reprise.shard_cleaning import DRAWN
from reprise.splits import TEST, TRAIN, VALID

NO_RUNS = SharedRuns(*(np.zeros(0, np.int64) for _ in range(4)))


def settled(
    folder: Path,
    published: list[int],
    draws: list[int],
    equal: list[tuple[int, int]],
    alike: list[tuple[int, int]],
    in_fraction: list[bool] | None = None,
    **changed: object,
) -> Settlement:
    """`equal` and `alike` are pairs of documents."""
    first = Groups.of_one(folder / "equal", len(draws))
    first.join(np.array(equal, np.int64).reshape(-1, 2))
    second = first.copied_to(folder / "alike")
    second.join(np.array(alike, np.int64).reshape(-1, 2))
    inside = np.array(in_fraction or [True] * len(draws))
    candidates = Candidates(np.array(published, np.uint8), np.array(draws, np.uint8), inside)
    return settle(candidates, (first, second), clean_params(**changed))


def test_the_first_of_a_group_stays_and_its_own_text_decides_the_split(tmp_path: Path) -> None:
    found = settled(
        tmp_path,
        [DRAWN] * 6,
        [TRAIN, TEST, VALID, TEST, TRAIN, TRAIN],
        equal=[(1, 3)],
        alike=[(1, 4)],
        near_duplicates="drop",
    )
    assert found.reasons.tolist() == [STAYS, STAYS, STAYS, EXACT_DUPLICATE, NEAR_DUPLICATE, STAYS]
    assert found.splits.tolist() == [TRAIN, TEST, VALID, OUT, OUT, TRAIN]
    assert found.clusters == 1


def test_kept_near_duplicates_follow_the_first_of_their_group(tmp_path: Path) -> None:
    found = settled(
        tmp_path,
        [DRAWN] * 4,
        [TEST, TRAIN, TRAIN, VALID],
        equal=[],
        alike=[(0, 2), (2, 3)],
        near_duplicates="keep",
    )
    assert found.splits.tolist() == [TEST, TRAIN, TEST, TEST]
    assert found.reasons.tolist() == [STAYS] * 4


def test_exact_duplicates_can_be_kept(tmp_path: Path) -> None:
    found = settled(
        tmp_path,
        [DRAWN] * 2,
        [TEST, TEST],
        equal=[(0, 1)],
        alike=[],
        near_duplicates="keep",
        drop_exact_duplicates=False,
    )
    assert found.splits.tolist() == [TEST, TEST]
    assert found.clusters == 0


def test_published_splits_are_kept_and_only_train_loses_its_repeats(tmp_path: Path) -> None:
    found = settled(
        tmp_path,
        [TEST, TRAIN, TRAIN, TEST, VALID, TRAIN],
        [TRAIN] * 6,
        equal=[(0, 1), (1, 2), (0, 3)],
        alike=[(4, 5)],
        near_duplicates="drop",
    )
    assert found.splits.tolist() == [TEST, TRAIN, OUT, TEST, VALID, TRAIN]
    assert found.reasons.tolist() == [STAYS, STAYS, EXACT_DUPLICATE, STAYS, STAYS, STAYS]
    test = overlap_of(TEST, found, NO_RUNS, 0.8)
    assert (test.exact, test.near) == ({0: 1, 3: 1}, {})
    valid = overlap_of(VALID, found, NO_RUNS, 0.8)
    assert (valid.exact, valid.near, valid.documents) == ({}, {4: 5}, 1)
    assert valid.fraction == 1


def test_a_split_that_was_not_published_is_drawn_from_train(tmp_path: Path) -> None:
    found = settled(
        tmp_path,
        [TRAIN, TRAIN, TRAIN, TRAIN, TEST, TEST],
        [TRAIN, VALID, TEST, VALID, VALID, TRAIN],
        equal=[(1, 4)],
        alike=[(1, 3)],
        near_duplicates="drop",
    )
    assert found.splits.tolist() == [TRAIN, VALID, TRAIN, OUT, TEST, TEST]


def test_a_fraction_takes_from_train_alone(tmp_path: Path) -> None:
    found = settled(
        tmp_path,
        [DRAWN] * 4,
        [TRAIN, TRAIN, VALID, TEST],
        equal=[],
        alike=[],
        in_fraction=[True, False, False, False],
    )
    assert found.splits.tolist() == [TRAIN, OUT, VALID, TEST]
    assert found.reasons.tolist() == [STAYS, OUTSIDE_FRACTION, STAYS, STAYS]


def test_what_is_outside_the_fraction_does_not_overlap(tmp_path: Path) -> None:
    found = settled(
        tmp_path,
        [TRAIN, TEST],
        [TRAIN, TRAIN],
        equal=[(0, 1)],
        alike=[],
        in_fraction=[False, True],
    )
    assert overlap_of(TEST, found, NO_RUNS, 0.8).overlapping == 0


@pytest.mark.parametrize(("shared", "copied"), [(7, {}), (8, {1: 0}), (10, {1: 0})])
def test_a_document_with_most_of_its_runs_in_train_overlaps(
    tmp_path: Path, shared: int, copied: dict[int, int]
) -> None:
    found = settled(tmp_path, [DRAWN] * 2, [TRAIN, TEST], equal=[], alike=[])
    runs = SharedRuns(*(np.array([value]) for value in (1, 10, shared, 0)))
    overlap = overlap_of(TEST, found, runs, 0.8)
    assert overlap.copied == copied
    assert overlap.figures() == {
        "documents": 1,
        "exact_duplicates": 0,
        "near_duplicates": 0,
        "documents_with_shared_ngrams": 1,
        "ngrams": 10,
        "shared_ngrams": shared,
        "overlapping_documents": len(copied),
        "overlap": float(len(copied)),
    }
