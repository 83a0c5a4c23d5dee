"""Batches: each token predicted once an epoch, in an order that seed and number alone decide."""

from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reprise.dataset import (
    SHORTEST_SEGMENT,
    Batches,
    EncodedSplit,
    StreamBatches,
    WindowBatches,
    vocabulary_in,
)
from reprise.errors import PipelineError
from reprise.files import write_json

BOUNDARY = 1
LENGTHS = [5, 1, 12, 3, 8, 2, 30, 4]


def split_of(lengths: list[int]) -> EncodedSplit:
    """Ids that are all different, but for the boundary at each document's end."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.arange(100, 100 + offsets[-1], dtype=np.uint16)
    ids[offsets[1:] - 1] = BOUNDARY
    return EncodedSplit(ids, offsets, BOUNDARY)


def first_of(batches: Batches, epoch: int) -> int:
    """Number of an epoch's first batch."""
    return next(number for number in count() if batches.epochs(number) >= epoch)


def predictions(batches: StreamBatches | WindowBatches, epoch: int) -> list[tuple[int, int]]:
    """(input, target) of every prediction of an epoch."""
    found = []
    for number in range(first_of(batches, epoch), first_of(batches, epoch + 1)):
        batch = batches[number]
        for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
            kept = targets >= 0
            found += list(zip(inputs[kept].tolist(), targets[kept].tolist(), strict=True))
    return found


@pytest.mark.parametrize("kind", [StreamBatches, WindowBatches])
@pytest.mark.parametrize(("batch_size", "length"), [(1, 4), (3, 4), (4, 7), (65, 1), (2, 65)])
def test_every_token_is_predicted_once_an_epoch_from_the_one_before_it(
    kind: type[StreamBatches | WindowBatches], batch_size: int, length: int
) -> None:
    split = split_of(LENGTHS)
    batches = kind(split, batch_size, length, seed=1)
    expected = []
    for start, stop in zip(split.offsets[:-1], split.offsets[1:], strict=True):
        document = [BOUNDARY, *split.ids[start:stop].tolist()]
        expected += list(pairwise(document))
    for epoch in (0, 1):
        assert sorted(predictions(batches, epoch)) == sorted(expected)


@pytest.mark.parametrize("kind", [StreamBatches, WindowBatches])
def test_a_batch_is_the_same_whether_or_not_those_before_it_were_made(
    kind: type[StreamBatches | WindowBatches],
) -> None:
    split = split_of(LENGTHS)
    one, other = (kind(split, 3, 4, seed=1) for _ in range(2))
    for number in range(first_of(one, 2)):
        last = one[number]
    alone = other[first_of(one, 2) - 1]
    assert last.inputs.equal(alone.inputs)
    assert last.targets.equal(alone.targets)


@pytest.mark.parametrize("kind", [StreamBatches, WindowBatches])
def test_seeds_and_epochs_give_other_orders(
    kind: type[StreamBatches | WindowBatches],
) -> None:
    split = split_of(LENGTHS)
    orders = [predictions(kind(split, 2, 4, seed), epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])


def test_a_stream_goes_on_where_it_stopped_and_starts_afresh_with_the_epoch() -> None:
    batches = StreamBatches(split_of(LENGTHS), 3, 4, seed=1)
    for number in range(1, first_of(batches, 1)):
        before, after = batches[number - 1], batches[number]
        going_on = after.targets[:, 0] >= 0
        assert after.inputs[going_on, 0].equal(before.targets[going_on, -1])
        assert not after.fresh
    assert batches[0].fresh
    assert batches[first_of(batches, 1)].fresh


def test_variable_segments_are_drawn_once_for_each_epoch_and_leave_nothing_out() -> None:
    split = split_of([200, 300, 150])
    batches = StreamBatches(split, 2, 12, seed=1, variable_length=True)
    again = StreamBatches(split, 2, 12, seed=1, variable_length=True)
    lengths = []
    for epoch in (0, 1):
        first, last = first_of(batches, epoch), first_of(batches, epoch + 1)
        lengths.append([batches[number].inputs.shape[1] for number in range(first, last)])
        assert sum(lengths[-1]) == 325
        assert min(lengths[-1][:-1]) >= SHORTEST_SEGMENT
        assert len(set(lengths[-1])) > 3
        assert len(predictions(batches, epoch)) == 650
    assert lengths[0] != lengths[1]
    number = first_of(batches, 2) - 1  # asked for alone
    assert again[number].inputs.equal(batches[number].inputs)


def test_a_sequence_length_over_the_splits_length_is_told() -> None:
    with pytest.raises(PipelineError) as error:
        WindowBatches(split_of(LENGTHS), 1, 66, seed=1)
    assert str(error.value) == (
        "train.sequence_length: found 66, but the train split has 65 tokens; "
        "allowed: 1 to 65, or take more text"
    )


def test_ids_that_do_not_fit_their_documents_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", np.arange(9, dtype=np.uint16))
    pq.write_table(pa.table({"tokens": [4, 4]}), tmp_path / "train.parquet")
    with pytest.raises(PipelineError) as error:
        EncodedSplit.open(tmp_path / "train.npy", tmp_path / "train.parquet", BOUNDARY)
    assert str(error.value) == (
        f"{tmp_path}/train.npy: 9 ids, but {tmp_path}/train.parquet speaks of 8; "
        "run `dvc repro -f encode`"
    )


def test_a_truncated_array_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", np.arange(900, dtype=np.uint16))
    content = (tmp_path / "train.npy").read_bytes()
    (tmp_path / "train.npy").write_bytes(content[:500])
    pq.write_table(pa.table({"tokens": [900]}), tmp_path / "train.parquet")
    with pytest.raises(PipelineError, match=r"train\.npy: cannot be read: .*`dvc repro -f encode`"):
        EncodedSplit.open(tmp_path / "train.npy", tmp_path / "train.parquet", BOUNDARY)


@pytest.mark.parametrize(
    ("ids", "column", "fault"),
    [
        (None, "tokens", r"train\.npy: cannot be read: "),
        (np.zeros((3, 3), np.uint16), "tokens", "found an array of uint16 with 2 dimensions"),
        (np.zeros(9), "tokens", "found an array of float64 with 1 dimensions"),
        (np.zeros(9, np.uint16), "words", r"train\.npy: cannot be read: "),
    ],
)
def test_an_array_that_is_none_of_ids_is_told_in_a_line(
    tmp_path: Path, ids: np.ndarray | None, column: str, fault: str
) -> None:
    if ids is None:
        (tmp_path / "train.npy").touch()
    else:
        np.save(tmp_path / "train.npy", ids)
    pq.write_table(pa.table({column: [9]}), tmp_path / "train.parquet")
    with pytest.raises(PipelineError, match=fault) as error:
        EncodedSplit.open(tmp_path / "train.npy", tmp_path / "train.parquet", BOUNDARY)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("; run `dvc repro -f encode`")


@pytest.mark.parametrize(("size", "boundary"), [(0, 0), (-3, -5), (10, 10), (10, -1), (10**30, 0)])
def test_a_vocabulary_that_cannot_be_is_told(tmp_path: Path, size: int, boundary: int) -> None:
    write_json(tmp_path / "vocabulary.json", {"vocabulary_size": size, "boundary": boundary})
    with pytest.raises(PipelineError, match=r"vocabulary\.json: vocabulary_size is "):
        vocabulary_in(tmp_path)


def test_ids_beyond_the_vocabulary_and_a_split_without_any_are_told() -> None:
    split = split_of(LENGTHS)  # 64 ids from 100 on, and the boundary
    split.check_ids("train", 165)
    with pytest.raises(PipelineError, match=r"the train split has id 163, .* 163 pieces; run `dvc"):
        split.check_ids("train", 163)
    empty = EncodedSplit(split.ids[:0], split.offsets[:1], BOUNDARY)
    with pytest.raises(PipelineError, match="the valid split has no tokens; take more text"):
        empty.check_ids("valid", 165)
